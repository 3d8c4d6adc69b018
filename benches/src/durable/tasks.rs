//! How long it takes from a line in an agent's task journal until the API shows it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use agentcore_protocol::journal::{FILE_NAME, JournalLine, TaskChange};
use agentcore_protocol::{TaskId, Timestamp};
use anyhow::ensure;
use rusqlite::Connection;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use super::{address, disk, get, host, invocation, json, session};
use crate::host::wire::Wire;
use crate::report::{Section, Target};
use crate::stats::significant;

/// Milliseconds.
const MOST: f64 = 10.0;
/// Between two changes: longer than the host waits for more to come, and never in step with it.
const APART: Duration = Duration::from_millis(31);

pub(super) async fn measure(folder: &Path, quick: bool) -> anyhow::Result<Section> {
    let folder = tempfile::Builder::new().prefix("agentcore-tasks-").tempdir_in(folder)?;
    let state = folder.path().join("state");
    let host = host(&state).await?;
    let mut wire = Wire::open(&address(&host)).await?;
    ensure!(wire.exchange(&invocation(&session(1), "", "{}")).await?.status == 200, "no answer");
    let mut agent = Agent::of_the_only_session(&state)?;
    let tasks = if quick { 20 } else { 100 };
    // The host learns of the journal, and begins to watch it.
    agent.write(0, TaskChange::Started { name: "first".into(), metadata: None })?;
    let incarnation = first_incarnation(&mut wire).await?;
    let sync_us = disk::sync_us(folder.path(), 100)?;
    let (mut progress, mut ends) = (Vec::new(), Vec::new());
    for task in 1..=tasks {
        let path = format!("/_agentcore/v1/tasks/{incarnation}/{}", TaskId::from_random(task));
        agent.write(task, TaskChange::Started { name: "measured".into(), metadata: None })?;
        agent.write(task, TaskChange::Progress(RawValue::from_string("0".into())?))?;
        while wire.exchange(&get(&path)).await?.status != 200 {
            sleep(APART).await;
        }
        sleep(APART).await;
        for value in 1..=4 {
            let began = Instant::now();
            agent.write(task, TaskChange::Progress(RawValue::from_string(value.to_string())?))?;
            while json(&mut wire, &path).await?["progress"] != value {}
            progress.push(began.elapsed().as_secs_f64() * 1e3);
            sleep(APART).await;
        }
        let began = Instant::now();
        agent.write(task, TaskChange::Completed(Some(RawValue::from_string("true".into())?)))?;
        let shown = json(&mut wire, &format!("{path}?wait=10")).await?;
        ensure!(shown["result"] == true, "the end did not come: {shown}");
        ends.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(section(progress, ends, sync_us / 1e3))
}

fn section(progress: Vec<f64>, ends: Vec<f64>, sync_ms: f64) -> Section {
    let mut section = Section::titled("Tasks on record");
    section.paragraph(&format!(
        "From the moment an agent writes a line into its journal until the API shows the change, committed: {} reports \
         of progress, each asked for until it is seen, and {} ends, each waited for with `?wait=`. A sync took {} ms.",
        progress.len(),
        ends.len(),
        significant(sync_ms)
    ));
    let mut rows = Vec::new();
    for (what, mut taken) in [("progress", progress), ("end", ends)] {
        taken.sort_by(f64::total_cmp);
        let (p50, p99) = (taken[taken.len() / 2], taken[taken.len() * 99 / 100]);
        rows.push(vec![what.to_owned(), significant(p50), significant(p99)]);
        section.targets.push(Target {
            what: format!("a task's {what} from the journal to the API, p50"),
            wanted: "one sync + 10 ms",
            got: format!("{} ms, with a sync of {} ms", significant(p50), significant(sync_ms)),
            reached: p50 <= sync_ms + MOST,
        });
    }
    section.table(&["", "p50 (ms)", "p99 (ms)"], rows);
    section
}

/// The side of an agent that writes the journal.
struct Agent {
    journal: File,
}

impl Agent {
    fn of_the_only_session(state: &Path) -> anyhow::Result<Self> {
        // An agent in memory has no folder until somebody needs one.
        let database = Connection::open(state.join("agentcore.db"))?;
        let name: String = database.query_row("SELECT folder FROM incarnations", [], |row| row.get(0))?;
        let folder = state.join("i").join(name).join("journal");
        fs::create_dir_all(&folder)?;
        Ok(Self { journal: OpenOptions::new().create(true).append(true).open(folder.join(FILE_NAME))? })
    }

    fn write(&mut self, task: u64, change: TaskChange) -> anyhow::Result<()> {
        let at = Timestamp::from_unix_millis(jiff::Timestamp::now().as_millisecond().unsigned_abs());
        let mut line = Vec::new();
        JournalLine { at, task_id: TaskId::from_random(task), change }.encode(&mut line);
        Ok(self.journal.write_all(&line)?)
    }
}

/// The incarnation of the first task that the API shows.
async fn first_incarnation(wire: &mut Wire) -> anyhow::Result<String> {
    loop {
        let list = json(wire, "/_agentcore/v1/tasks").await?;
        if let Some(incarnation) = list["tasks"][0]["incarnation"].as_str() {
            return Ok(incarnation.to_owned());
        }
        sleep(Duration::from_millis(20)).await;
    }
}
