//! The Python package against the official one: the same agent on both, in turn.

mod contender;
mod requests;
mod start;
mod streams;

use std::path::PathBuf;

use anyhow::{Context, ensure};

use self::contender::Contender;
use crate::machine;
use crate::report::{self, Section};
use crate::sdk::{document, has_official_sdk, say};

/// What can be asked for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    Requests,
    Busy,
    Streams,
    Start,
}

/// How the package is measured.
#[derive(clap::Args)]
pub(crate) struct PythonArguments {
    /// Fewer and shorter rounds: a look within two minutes, too noisy to be written down.
    #[arg(long)]
    quick: bool,
    /// A Python with benches/requirements.txt installed: the official package.
    #[arg(long, env = "AGENTCORE_BENCH_PYTHON")]
    python: PathBuf,
    /// A Python with this project's wheel installed.
    #[arg(long, env = "AGENTCORE_BENCH_PACKAGE_PYTHON")]
    package: PathBuf,
    /// The file whose section is replaced: docs/benchmarks.md, or with --quick or --only none.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Only these parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
}

/// How thoroughly, and what.
pub(crate) struct Setup {
    quick: bool,
    /// Ours first, then the one that ratios are over.
    contenders: [Contender; 3],
}

impl Setup {
    /// `thorough`, or `quick` with --quick.
    fn choose<T>(&self, thorough: T, quick: T) -> T {
        if self.quick { quick } else { thorough }
    }
}

pub(crate) fn run(arguments: PythonArguments) -> anyhow::Result<()> {
    ensure!(
        has_official_sdk(&arguments.python),
        "{} has no official package: install benches/requirements.txt there (`make bench` does)",
        arguments.python.display()
    );
    let contenders = Contender::all(&arguments.package, &arguments.python);
    let ours = contenders[0].describe().context("`make bench` makes a Python with this project's wheel")?;
    let setup = Setup { quick: arguments.quick, contenders };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut sections = Vec::new();
    for part in [Part::Requests, Part::Busy, Part::Streams, Part::Start] {
        if arguments.only.is_empty() || arguments.only.contains(&part) {
            let section = runtime.block_on(measure(part, &setup))?;
            say(&section.text)?;
            sections.push(section);
        }
    }
    let targets: Vec<_> = sections.iter_mut().flat_map(|section| section.targets.drain(..)).collect();
    let targets = report::targets(&targets);
    say(&format!("\n{targets}\n"))?;
    let complete = !setup.quick && arguments.only.is_empty();
    if let Some(file) = arguments.write.or_else(|| complete.then(document)) {
        let about = machine::describe(COMMAND, Some(&arguments.python));
        let parts: String = sections.into_iter().map(|section| section.text).collect();
        let text = format!("## The Python package\n\n{about}- This package: {ours}\n\n{targets}\n{parts}");
        report::write(&file, "python", &text)?;
        say(&format!("\nWritten to {}\n", file.display()))?;
    }
    Ok(())
}

async fn measure(part: Part, setup: &Setup) -> anyhow::Result<Section> {
    match part {
        Part::Requests => requests::compare(setup, false).await,
        Part::Busy => requests::compare(setup, true).await,
        Part::Streams => streams::compare(setup).await,
        Part::Start => start::compare(setup).await,
    }
}

const COMMAND: &str =
    "make bench` or `cargo run --profile dist -p agentcore-bench -- python --python PYTHON --package PYTHON";
