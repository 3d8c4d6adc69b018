//! What the walls between sessions cost: the same host with all walls and with none, side by side.

mod compare;
mod hosts;

use std::path::PathBuf;

use super::say_without_python;
use crate::machine;
use crate::report;
use crate::sdk::{document, has_official_sdk, say};

pub(crate) use hosts::serve_host;

/// How the walls are measured.
#[derive(clap::Args)]
pub(crate) struct WallsArguments {
    /// Fewer rounds: a look within half a minute, too noisy to be written down.
    #[arg(long)]
    quick: bool,
    /// A Python with benches/requirements.txt installed, to measure sessions of the official SDK.
    #[arg(long, env = "AGENTCORE_BENCH_PYTHON")]
    python: Option<PathBuf>,
    /// The file whose section is replaced: docs/benchmarks.md, or with --quick none.
    #[arg(long)]
    write: Option<PathBuf>,
}

pub(crate) fn run(arguments: WallsArguments) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        say("This is a debug build: its figures mean nothing. Use `--profile dist`.\n")?;
    }
    let python = arguments.python.filter(has_official_sdk);
    if python.is_none() {
        say_without_python()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let section = runtime.block_on(compare::compare(python.as_deref(), arguments.quick))?;
    let targets = report::targets(&section.targets);
    say(&format!("{}\n{targets}\n", section.text))?;
    if let Some(file) = arguments.write.or_else(|| (!arguments.quick).then(document)) {
        let about = machine::describe(COMMAND, python.as_deref());
        report::write(&file, "walls", &format!("## The walls\n\n{about}\n{targets}\n{}", section.text))?;
        say(&format!("\nWritten to {}\n", file.display()))?;
    }
    Ok(())
}

const COMMAND: &str = "make bench` or `cargo run --profile dist -p agentcore-bench -- walls --python PYTHON";
