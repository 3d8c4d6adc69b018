//! From the start of the process to its first answer, and what it then holds in memory.

use std::time::Duration;

use procfs::process::Process;
use tokio::time::Instant;

use super::Setup;
use super::contender::{Contender, Handler};
use crate::children::{Server, free_port};
use crate::load;
use crate::report::{Section, Target};
use crate::server::Path;
use crate::stats::{Summary, thousands};

/// Between two attempts to reach a server that starts.
const ATTEMPT: Duration = Duration::from_micros(200);
/// How many times sooner we must answer.
const SOONER: f64 = 3.0;
/// What we may hold in memory of what the other holds.
const LESS: f64 = 0.65;
/// Connections that requests are sent over.
const CONNECTIONS: usize = 32;

/// A figure for each run.
#[derive(Default)]
struct Runs {
    /// Milliseconds to the first answer.
    start: Vec<f64>,
    /// MiB after it.
    fresh: Vec<f64>,
    /// MiB after many requests.
    used: Vec<f64>,
}

pub(super) async fn compare(setup: &Setup) -> anyhow::Result<Section> {
    let requests = setup.choose(100_000, 10_000);
    let mut runs = [const { Runs { start: Vec::new(), fresh: Vec::new(), used: Vec::new() } }; 3];
    let count = setup.choose(15, 5);
    for run in 0..=count {
        for (runs, contender) in runs.iter_mut().zip(&setup.contenders) {
            let (server, took) = start(contender).await?;
            // The first start reads files that no later one does.
            if run > 0 {
                runs.start.push(took);
                runs.fresh.push(resident_mib(&server)?);
            }
            if run == count {
                load::send_many(server.address, Path::Invocations, CONNECTIONS, requests).await?;
                runs.used.push(resident_mib(&server)?);
            }
        }
    }
    Ok(report(setup, &runs, requests))
}

/// Starts an agent and pings it. Milliseconds that it took.
async fn start(contender: &Contender) -> anyhow::Result<(Server, f64)> {
    let port = free_port()?;
    let began = Instant::now();
    let server = Server::spawn(&contender.program(port, Handler::Sync, false), port)?;
    let server = server.listening(ATTEMPT).await?;
    load::fetch(server.address, Path::Ping).await?;
    Ok((server, began.elapsed().as_secs_f64() * 1e3))
}

fn resident_mib(server: &Server) -> anyhow::Result<f64> {
    let process = Process::new(i32::try_from(server.pid())?)?;
    Ok(process.status()?.vmrss.unwrap_or(0) as f64 / 1024.0)
}

fn report(setup: &Setup, runs: &[Runs; 3], requests: u64) -> Section {
    let mut section = Section::titled("Start and memory of Python agents");
    let after = format!("after {} invocations, MiB", thousands(requests as f64));
    section.paragraph(&format!(
        "From the start of the process to the end of the first answer of `/ping` (asked every 0.2 ms whether it \
         listens), in {} runs in turn; resident memory then, and {after}. A ratio is this package's figure over the \
         other's.",
        runs[0].start.len()
    ));
    let mut rows = Vec::new();
    for (index, contender) in setup.contenders.iter().enumerate() {
        let mut row = vec![contender.name.to_owned()];
        for figure in FIGURES {
            let ratio = Summary::ratio(figure(&runs[0]), figure(&runs[index])).filter(|_| index > 0);
            let own = Summary::of(figure(&runs[index]).iter().copied());
            row.push(own.map(|own| own.to_string()).unwrap_or_default());
            row.push(ratio.map(|ratio| ratio.to_string()).unwrap_or_default());
        }
        rows.push(row);
    }
    section.table(&["server", "first ping, ms", "ratio", "then, MiB", "ratio", &after, "ratio"], rows);
    section.targets = targets(runs, requests);
    section
}

const FIGURES: [fn(&Runs) -> &[f64]; 3] = [|runs| &runs.start, |runs| &runs.fresh, |runs| &runs.used];

fn targets(runs: &[Runs; 3], requests: u64) -> Vec<Target> {
    let [ours, official, _] = runs;
    let sooner = Summary::ratio(&official.start, &ours.start).map(|ratio| Target {
        what: "start to first /ping, official's with uvicorn over ours".to_owned(),
        wanted: "at least 3",
        got: ratio.to_string(),
        reached: ratio.median >= SOONER,
    });
    let less = |when: String, figure: fn(&Runs) -> &[f64]| {
        Summary::ratio(figure(ours), figure(official)).map(|ratio| Target {
            what: format!("resident memory {when} over official's with uvicorn"),
            wanted: "at most 0.65",
            got: ratio.to_string(),
            reached: ratio.median <= LESS,
        })
    };
    let many = format!("after {} invocations", thousands(requests as f64));
    let targets = [sooner, less("after the start".to_owned(), FIGURES[1]), less(many, FIGURES[2])];
    targets.into_iter().flatten().collect()
}
