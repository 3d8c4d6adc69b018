//! What it costs to track a task.

use std::io::Write;
use std::time::Duration;

use bedrock_agentcore::{App, Tasks, async_task, logs};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Setup;
use crate::children::{Program, cpu_time};
use crate::report::{Section, Target};
use crate::stats::{Summary, thousands};

/// Tasks under way together, where many are.
const AT_ONCE: u32 = 100;
/// What a tracked task may cost over `tokio::spawn`, in nanoseconds.
const MOST: f64 = 2000.0;

/// How much to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct TaskOptions {
    /// Of the runtime; 0 for as many as there are processors.
    threads: usize,
    rounds: u32,
    /// Tasks in each round, of each kind.
    tasks: u32,
}

/// What is measured: tasks one after the other, many at once, and counted by hand.
const BARE: usize = 0;
const TRACKED: usize = 1;
const BARE_MANY: usize = 2;
const TRACKED_MANY: usize = 3;
const COUNTED: usize = 4;
const WAYS: usize = 5;

/// Nanoseconds per task: a figure for each way, in each round.
#[derive(Default, Serialize, Deserialize)]
struct Costs {
    elapsed: [Vec<f64>; WAYS],
    /// On all threads, so that whatever else the machine does is left out.
    processor: [Vec<f64>; WAYS],
}

#[async_task]
async fn work(n: u32) -> u32 {
    n
}

async fn bare_work(n: u32) -> u32 {
    n
}

/// The body of the hidden command.
pub(crate) fn measure(options: TaskOptions) -> anyhow::Result<()> {
    logs::init(false);
    let app = App::new();
    let tasks = app.tasks();
    tasks.set_process_default();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if options.threads > 0 {
        runtime.worker_threads(options.threads);
    }
    let runtime = runtime.enable_all().build()?;
    // On a thread of the runtime, where handlers run too.
    let costs = runtime.block_on(runtime.spawn(rounds(options, tasks)))??;
    serde_json::to_writer(std::io::stdout(), &costs)?;
    Ok(std::io::stdout().flush()?)
}

async fn rounds(options: TaskOptions, tasks: Tasks) -> anyhow::Result<Costs> {
    let mut costs = Costs::default();
    for round in 0..=options.rounds {
        for way in 0..WAYS {
            let (began, processor) = (Instant::now(), cpu_time(std::process::id())?);
            run(way, options.tasks, &tasks).await;
            let processor = cpu_time(std::process::id())? - processor;
            let each = |time: Duration| time.as_nanos() as f64 / f64::from(options.tasks);
            // The first round warms up.
            if round > 0 {
                costs.elapsed[way].push(each(began.elapsed()));
                costs.processor[way].push(each(processor));
            }
        }
    }
    Ok(costs)
}

/// So many tasks, in one way.
async fn run(way: usize, tasks: u32, registry: &Tasks) {
    match way {
        BARE => {
            for n in 0..tasks {
                let _ = tokio::spawn(bare_work(n)).await;
            }
        }
        TRACKED => {
            for n in 0..tasks {
                let _ = work(n).spawn().await;
            }
        }
        BARE_MANY => {
            for _ in 0..tasks / AT_ONCE {
                wait((0..AT_ONCE).map(|n| tokio::spawn(bare_work(n))).collect()).await;
            }
        }
        TRACKED_MANY => {
            for _ in 0..tasks / AT_ONCE {
                wait((0..AT_ONCE).map(|n| work(n).spawn()).collect()).await;
            }
        }
        _ => {
            for _ in 0..tasks {
                registry.complete_async_task(registry.add_async_task("counted", ()));
            }
        }
    }
}

async fn wait<F: Future>(all: Vec<F>) {
    for one in all {
        let _ = one.await;
    }
}

/// What tracking adds in each round.
fn over(tracked: &[f64], bare: &[f64]) -> Option<Summary> {
    Summary::of(tracked.iter().zip(bare).map(|(tracked, bare)| tracked - bare))
}

pub(super) fn compare(setup: &Setup) -> anyhow::Result<Section> {
    let mut section = Section::titled("Tasks");
    section.paragraph(
        "Nanoseconds to start a task that returns at once and to await it. A tracked task is counted, listed, can be \
         cancelled, and its result is kept. On a runtime of one thread that is all there is to see; on one with a \
         thread for each processor, tasks also move between those, and what is tracked moves with them. CPU is the \
         processor time of all threads, which other programs do not disturb.",
    );
    let (rounds, tasks) = setup.choose(("11", "50000"), ("5", "10000"));
    let mut rows = Vec::new();
    for (threads, named) in [("1", "one thread"), ("0", "a thread for each processor")] {
        let costs: Costs = Program::this(["measure-tasks", threads, rounds, tasks])?.report()?;
        rows.extend(rows_of(named, &costs));
        if let Some(added) = over(&costs.elapsed[TRACKED], &costs.elapsed[BARE]) {
            section.targets.push(Target {
                what: format!("a tracked task over the bare spawn, {named}, in ns"),
                wanted: "at most 2,000",
                got: added.text(thousands),
                reached: added.median <= MOST,
            });
        }
    }
    let head = ["", "runtime", "`tokio::spawn`", "tracked", "added", "added, CPU"];
    section.table(&head, rows);
    Ok(section)
}

fn rows_of(threads: &str, costs: &Costs) -> Vec<Vec<String>> {
    let text = |figure: Option<Summary>| figure.map(|figure| figure.text(thousands)).unwrap_or_default();
    let plain = |figures: &[f64]| text(Summary::of(figures.iter().copied()));
    let row = |what: &str, bare: usize, tracked: usize| {
        let added = |figures: &[Vec<f64>]| text(over(&figures[tracked], &figures[bare]));
        let (bare, whole) = (plain(&costs.elapsed[bare]), plain(&costs.elapsed[tracked]));
        vec![what.into(), threads.into(), bare, whole, added(&costs.elapsed), added(&costs.processor)]
    };
    let counted = plain(&costs.elapsed[COUNTED]);
    let name = "`add_async_task`, `complete_async_task`";
    vec![
        row("`#[async_task]`, one after the other", BARE, TRACKED),
        row("`#[async_task]`, 100 at once", BARE_MANY, TRACKED_MANY),
        vec![name.into(), threads.into(), String::new(), counted, String::new(), String::new()],
    ]
}
