//! The host against the agent itself and against nginx before it, with callers who sign, new sessions
//! against bare processes, and what a thousand idle sessions take.

pub(crate) mod agents;
mod first_answer;
mod gentle;
pub(crate) mod idle;
pub(crate) mod load;
mod machinery;
mod nginx;
mod signed;
mod through;
mod verification;
pub(crate) mod walls;
pub(crate) mod wire;

use std::path::PathBuf;

use crate::machine;
use crate::report::{self, Section};
use crate::sdk::{document, has_official_sdk, say};

/// What can be asked for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    Through,
    Signed,
    FirstAnswer,
    Idle,
}

/// How the host is measured.
#[derive(clap::Args)]
pub(crate) struct HostArguments {
    /// Fewer and shorter rounds: a look within a minute, too noisy to be written down.
    #[arg(long)]
    quick: bool,
    /// A Python with benches/requirements.txt installed, to measure sessions of the official SDK.
    #[arg(long, env = "AGENTCORE_BENCH_PYTHON")]
    python: Option<PathBuf>,
    /// The `agentcore` program [default: the one beside this program].
    #[arg(long)]
    agentcore: Option<PathBuf>,
    /// The file whose section is replaced: docs/benchmarks.md, or with --quick or --only none.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Only these parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
}

/// How thoroughly, and with what.
pub(crate) struct Setup {
    quick: bool,
    agentcore: PathBuf,
    python: Option<PathBuf>,
}

impl Setup {
    /// `thorough`, or `quick` with --quick.
    fn choose<T>(&self, thorough: T, quick: T) -> T {
        if self.quick { quick } else { thorough }
    }
}

pub(crate) fn run(arguments: HostArguments) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        say("This is a debug build: its figures mean nothing. Use `--profile dist`.\n")?;
    }
    let python = arguments.python.filter(has_official_sdk);
    if python.is_none() {
        say_without_python()?;
    }
    let agentcore = match arguments.agentcore {
        Some(agentcore) => agentcore,
        None => machinery::agentcore_beside_this()?,
    };
    let setup = Setup { quick: arguments.quick, agentcore, python };
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut sections = Vec::new();
    let mut done = |section: Section| -> anyhow::Result<()> {
        say(&section.text)?;
        sections.push(section);
        Ok(())
    };
    if wanted(Part::Through) {
        done(runtime.block_on(through::compare(&setup))?)?;
    }
    if wanted(Part::Signed) {
        done(runtime.block_on(verification::measure(&setup))?)?;
        done(runtime.block_on(signed::compare(&setup))?)?;
    }
    if wanted(Part::FirstAnswer) {
        done(runtime.block_on(first_answer::compare(&setup))?)?;
    }
    if wanted(Part::Idle) {
        done(runtime.block_on(idle::measure(&setup))?)?;
    }
    let targets: Vec<_> = sections.iter_mut().flat_map(|section| section.targets.drain(..)).collect();
    let targets = report::targets(&targets);
    say(&format!("\n{targets}\n"))?;
    let complete = !setup.quick && arguments.only.is_empty();
    if let Some(file) = arguments.write.or_else(|| complete.then(document)) {
        let about = machine::describe(COMMAND, setup.python.as_deref());
        let parts: String = sections.into_iter().map(|section| section.text).collect();
        report::write(&file, "host", &format!("## The host\n\n{about}\n{targets}\n{parts}"))?;
        say(&format!("\nWritten to {}\n", file.display()))?;
    }
    Ok(())
}

fn say_without_python() -> std::io::Result<()> {
    say(
        "No session of the official Python SDK is measured: name a Python that has benches/requirements.txt installed \
         with --python or AGENTCORE_BENCH_PYTHON.\n",
    )
}

const COMMAND: &str = "make bench` or `cargo run --profile dist -p agentcore-bench -- host --python PYTHON";
