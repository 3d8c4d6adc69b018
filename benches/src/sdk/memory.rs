//! Memory while more and more tasks come and go.

use std::io::Write;

use bedrock_agentcore::{App, Tasks, logs};
use procfs::process::Process;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Setup;
use crate::children::Program;
use crate::report::{Section, Target};
use crate::stats::thousands;

/// What memory may grow by, once as many finished tasks are kept as are ever kept.
const FLAT: f64 = 1.05;

/// Memory after so many tasks.
#[derive(Serialize, Deserialize)]
struct Sample {
    tasks: u64,
    resident_kib: u64,
}

/// The body of the hidden command.
pub(crate) fn measure(after: &[u64]) -> anyhow::Result<()> {
    logs::init(false);
    let app = App::new();
    let tasks = app.tasks();
    let runtime = tokio::runtime::Runtime::new()?;
    let after = after.to_vec();
    let samples = runtime.block_on(runtime.spawn(sample(tasks, after)))??;
    serde_json::to_writer(std::io::stdout(), &samples)?;
    Ok(std::io::stdout().flush()?)
}

async fn sample(tasks: Tasks, after: Vec<u64>) -> anyhow::Result<Vec<Sample>> {
    let mut samples = vec![Sample { tasks: 0, resident_kib: resident_kib()? }];
    let mut done = 0;
    for after in after {
        while done < after {
            done += 1;
            let spawned = tasks.task("work").metadata(json!({"n": done})).spawn(async move |task| {
                task.report_progress(json!({"done": 0.5}));
                json!({"n": done, "text": "what came of it, in a few dozen bytes"})
            });
            spawned.await?;
        }
        samples.push(Sample { tasks: done, resident_kib: resident_kib()? });
    }
    Ok(samples)
}

fn resident_kib() -> anyhow::Result<u64> {
    Ok(Process::myself()?.status()?.vmrss.unwrap_or(0))
}

pub(super) fn compare(setup: &Setup) -> anyhow::Result<Section> {
    let after = setup.choose("1000,10000,100000,1000000", "1000,10000,100000");
    let samples: Vec<Sample> = Program::this(["measure-memory", after])?.report()?;
    let mut section = Section::titled("Memory");
    section.paragraph(
        "Resident memory of an agent's process after so many tasks with metadata, progress and a result, the last \
         1,000 of which can still be read.",
    );
    let rows = samples.iter().map(|sample| {
        vec![thousands(sample.tasks as f64), format!("{:.1}", sample.resident_kib as f64 / 1024.0)]
    });
    section.table(&["tasks", "MiB"], rows.collect());
    let after_10k = samples.iter().find(|sample| sample.tasks == 10_000);
    if let (Some(first), Some(last)) = (after_10k, samples.last()) {
        let ratio = last.resident_kib as f64 / first.resident_kib as f64;
        section.targets.push(Target {
            what: format!("memory after {} tasks, over that after 10,000", thousands(last.tasks as f64)),
            wanted: "flat (at most 1.05)",
            got: format!("{ratio:.2}"),
            reached: ratio <= FLAT,
        });
    }
    Ok(section)
}
