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
    rounds: u32,
    /// Tasks in each round, of each kind.
    tasks: u32,
}

/// What is measured, in the order of the figures.
const WAYS: [&str; 5] = ["bare", "tracked", "bare, many", "tracked, many", "counted"];

/// Nanoseconds per task: a figure for each way, in each round.
#[derive(Default, Serialize, Deserialize)]
struct Costs {
    elapsed: [Vec<f64>; WAYS.len()],
    /// On all threads, so that whatever else the machine does is left out.
    processor: [Vec<f64>; WAYS.len()],
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
    let runtime = tokio::runtime::Runtime::new()?;
    // On a thread of the runtime, where handlers run too.
    let costs = runtime.block_on(runtime.spawn(rounds(options, tasks)))??;
    serde_json::to_writer(std::io::stdout(), &costs)?;
    Ok(std::io::stdout().flush()?)
}

async fn rounds(options: TaskOptions, tasks: Tasks) -> anyhow::Result<Costs> {
    let mut costs = Costs::default();
    for round in 0..=options.rounds {
        for way in 0..WAYS.len() {
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
        0 => {
            for n in 0..tasks {
                let _ = tokio::spawn(bare_work(n)).await;
            }
        }
        1 => {
            for n in 0..tasks {
                let _ = work(n).spawn().await;
            }
        }
        2 => {
            for _ in 0..tasks / AT_ONCE {
                wait((0..AT_ONCE).map(|n| tokio::spawn(bare_work(n))).collect()).await;
            }
        }
        3 => {
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
    let (rounds, tasks) = setup.choose(("11", "100000"), ("5", "20000"));
    let costs: Costs = Program::this(["measure-tasks", rounds, tasks])?.report()?;
    let mut section = Section::titled("Tasks");
    section.paragraph(
        "Nanoseconds to start a task that returns at once and to await it, on a runtime with as many threads as \
         processors. A tracked task is counted, listed, can be cancelled, and its result is kept.",
    );
    let table = |figures: &[Vec<f64>; WAYS.len()]| {
        let text = |figure: Option<Summary>| figure.map(|figure| figure.text(thousands)).unwrap_or_default();
        let plain = |figures: &[f64]| text(Summary::of(figures.iter().copied()));
        let [bare, tracked, bare_many, tracked_many, counted] = figures;
        let row = |what: &str, bare: &[f64], tracked: &[f64]| {
            vec![what.to_owned(), plain(bare), plain(tracked), text(over(tracked, bare))]
        };
        vec![
            row("`#[async_task]`, one after the other", bare, tracked),
            row("`#[async_task]`, 100 at once", bare_many, tracked_many),
            vec![
                "`add_async_task`, `complete_async_task`".into(),
                String::new(),
                plain(counted),
                String::new(),
            ],
        ]
    };
    let head = ["", "`tokio::spawn`", "tracked", "added"];
    section.table(&head, table(&costs.elapsed));
    section.paragraph("The same in processor time of the whole process, in nanoseconds:");
    section.table(&head, table(&costs.processor));
    for (what, bare, tracked) in [("one after the other", 0, 1), ("100 at once", 2, 3)] {
        let Some(added) = over(&costs.elapsed[tracked], &costs.elapsed[bare]) else { continue };
        section.targets.push(Target {
            what: format!("a tracked task over the bare spawn, {what}, in ns"),
            wanted: "at most 2,000",
            got: added.text(thousands),
            reached: added.median <= MOST,
        });
    }
    Ok(section)
}
