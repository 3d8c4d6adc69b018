//! What it costs to track a task.

use std::io::Write;

use bedrock_agentcore::{App, Tasks, async_task, logs};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Setup;
use crate::children::Program;
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

/// Nanoseconds per task, a figure for each round.
#[derive(Default, Serialize, Deserialize)]
struct Costs {
    bare: Vec<f64>,
    tracked: Vec<f64>,
    bare_at_once: Vec<f64>,
    tracked_at_once: Vec<f64>,
    counted: Vec<f64>,
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
    let costs = runtime.block_on(runtime.spawn(rounds(options, tasks)))?;
    serde_json::to_writer(std::io::stdout(), &costs)?;
    Ok(std::io::stdout().flush()?)
}

async fn rounds(options: TaskOptions, tasks: Tasks) -> Costs {
    let mut costs = Costs::default();
    let each = |began: Instant| began.elapsed().as_nanos() as f64 / f64::from(options.tasks);
    for round in 0..=options.rounds {
        let began = Instant::now();
        for n in 0..options.tasks {
            let _ = tokio::spawn(bare_work(n)).await;
        }
        let bare = each(began);

        let began = Instant::now();
        for n in 0..options.tasks {
            let _ = work(n).spawn().await;
        }
        let tracked = each(began);

        let began = Instant::now();
        for _ in 0..options.tasks / AT_ONCE {
            let all: Vec<JoinHandle<u32>> = (0..AT_ONCE).map(|n| tokio::spawn(bare_work(n))).collect();
            for one in all {
                let _ = one.await;
            }
        }
        let bare_at_once = each(began);

        let began = Instant::now();
        for _ in 0..options.tasks / AT_ONCE {
            let all: Vec<_> = (0..AT_ONCE).map(|n| work(n).spawn()).collect();
            for one in all {
                let _ = one.await;
            }
        }
        let tracked_at_once = each(began);

        let began = Instant::now();
        for _ in 0..options.tasks {
            tasks.complete_async_task(tasks.add_async_task("counted", ()));
        }
        let counted = each(began);

        // The first round warms up.
        if round > 0 {
            costs.bare.push(bare);
            costs.tracked.push(tracked);
            costs.bare_at_once.push(bare_at_once);
            costs.tracked_at_once.push(tracked_at_once);
            costs.counted.push(counted);
        }
    }
    costs
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
    let text = |figure: Option<Summary>| figure.map(|figure| figure.text(thousands)).unwrap_or_default();
    let plain = |figures: &[f64]| text(Summary::of(figures.iter().copied()));
    let row = |what: &str, bare: &[f64], tracked: &[f64]| {
        vec![what.to_owned(), plain(bare), plain(tracked), text(over(tracked, bare))]
    };
    section.table(
        &["", "`tokio::spawn`", "tracked", "added"],
        vec![
            row("`#[async_task]`, one after the other", &costs.bare, &costs.tracked),
            row(&format!("`#[async_task]`, {AT_ONCE} at once"), &costs.bare_at_once, &costs.tracked_at_once),
            vec![
                "`add_async_task`, `complete_async_task`".to_owned(),
                String::new(),
                plain(&costs.counted),
                String::new(),
            ],
        ],
    );
    for (what, added) in [
        ("one after the other", over(&costs.tracked, &costs.bare)),
        ("100 at once", over(&costs.tracked_at_once, &costs.bare_at_once)),
    ] {
        let Some(added) = added else { continue };
        section.targets.push(Target {
            what: format!("a tracked task over the bare spawn, {what}, in ns"),
            wanted: "at most 2,000",
            got: added.text(thousands),
            reached: added.median <= MOST,
        });
    }
    Ok(section)
}
