//! The SDK against hyper alone, the official Python SDK, and `tokio::spawn`.

mod busy;
mod http;
pub(crate) mod memory;
pub(crate) mod tasks;

use std::io::Write;
use std::path::PathBuf;

use crate::machine::{self, Apart};
use crate::report::{self, Section};
use crate::{SdkArguments, server::Kind};

/// What can be asked for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    Http,
    Busy,
    Tasks,
    Memory,
}

/// How thoroughly, and where.
pub(crate) struct Setup {
    pub(crate) quick: bool,
    /// Servers and the generator on a processor each, where there are two.
    pub(crate) apart: Option<Apart>,
    /// What the agent is compared with, itself first.
    pub(crate) kinds: Vec<Kind>,
}

impl Setup {
    /// `thorough`, or `quick` with --quick.
    pub(crate) fn choose<T>(&self, thorough: T, quick: T) -> T {
        if self.quick { quick } else { thorough }
    }
}

pub(crate) fn run(arguments: SdkArguments) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        say("This is a debug build: its figures mean nothing. Use `--profile dist`.\n")?;
    }
    let python = arguments.python.filter(has_official_sdk);
    let mut kinds = vec![Kind::Agent, Kind::Hyper, Kind::UntypedAgent, Kind::HyperJson];
    match &python {
        Some(python) => kinds.push(Kind::Python(python.clone())),
        None => say(
            "Not compared with the official Python SDK: name a Python that has benches/requirements.txt \
             installed with --python or AGENTCORE_BENCH_PYTHON (`make bench` makes one).\n",
        )?,
    }
    let setup = Setup { quick: arguments.quick, apart: Apart::find(), kinds };
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut sections = Vec::new();
    let mut done = |section: Section| -> anyhow::Result<()> {
        say(&section.text)?;
        sections.push(section);
        Ok(())
    };
    if wanted(Part::Http) {
        done(runtime.block_on(http::compare(&setup))?)?;
    }
    if wanted(Part::Busy) {
        done(runtime.block_on(busy::compare(&setup))?)?;
    }
    if wanted(Part::Tasks) {
        done(tasks::compare(&setup)?)?;
    }
    if wanted(Part::Memory) {
        done(memory::compare(&setup)?)?;
    }
    let targets: Vec<_> = sections.iter_mut().flat_map(|section| section.targets.drain(..)).collect();
    let targets = report::targets(&targets);
    say(&format!("\n{targets}\n"))?;
    let file = arguments.write.or_else(|| (!arguments.quick).then(document));
    if let Some(file) = file {
        let about = machine::describe(COMMAND, python.as_deref());
        let parts: String = sections.into_iter().map(|section| section.text).collect();
        report::write(&file, "sdk", &format!("## The SDK\n\n{about}\n{targets}\n{parts}"))?;
        say(&format!("\nWritten to {}\n", file.display()))?;
    }
    Ok(())
}

const COMMAND: &str = "make bench` or `cargo run --profile dist -p agentcore-bench -- sdk --python PYTHON";

pub(crate) fn document() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md"))
}

pub(crate) fn has_official_sdk(python: &PathBuf) -> bool {
    let imported =
        std::process::Command::new(python).args(["-c", "import bedrock_agentcore, uvicorn"]).output();
    imported.is_ok_and(|output| output.status.success())
}

/// Prints what was found so far.
pub(crate) fn say(text: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}
