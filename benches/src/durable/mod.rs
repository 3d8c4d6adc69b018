//! Durable invocations: how fast they are acknowledged, what a million of them in the store cost,
//! whether readers hold up a stream, and how soon tasks are on record.

mod acknowledge;
mod agent;
mod disk;
mod million;
mod stream;
mod tasks;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::children::{Program, Server, free_port};
use crate::host::wire::{Address, Answer, Wire};
use crate::machine;
use crate::report::{self, Section};
use crate::sdk::{document, say};

pub(crate) use agent::serve_host;

/// What can be asked for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    Acknowledge,
    Million,
    Stream,
    Tasks,
}

/// How durable invocations are measured.
#[derive(clap::Args)]
pub(crate) struct DurableArguments {
    /// Shorter rounds and a tenth of the records: a look within half a minute.
    #[arg(long)]
    quick: bool,
    /// The folder for the host's state, on the disk that is meant [default: the system's for temporary files].
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The file whose section is replaced: docs/benchmarks.md, or with --quick or --only none.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Only these parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
}

pub(crate) fn run(arguments: DurableArguments) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        say("This is a debug build: its figures mean nothing. Use `--profile dist`.\n")?;
    }
    let folder = arguments.folder.unwrap_or_else(std::env::temp_dir);
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut sections = Vec::new();
    if wanted(Part::Acknowledge) {
        sections.push(runtime.block_on(acknowledge::measure(&folder, arguments.quick))?);
    }
    if wanted(Part::Million) {
        sections.push(runtime.block_on(million::measure(&folder, arguments.quick))?);
    }
    if wanted(Part::Stream) {
        sections.push(runtime.block_on(stream::measure(&folder, arguments.quick))?);
    }
    if wanted(Part::Tasks) {
        sections.push(runtime.block_on(tasks::measure(&folder, arguments.quick))?);
    }
    let targets: Vec<_> =
        sections.iter_mut().flat_map(|section: &mut Section| section.targets.drain(..)).collect();
    let parts: String = sections.into_iter().map(|section| section.text).collect();
    let targets = report::targets(&targets);
    say(&format!("{parts}\n{targets}\n"))?;
    let complete = !arguments.quick && arguments.only.is_empty();
    if let Some(file) = arguments.write.or_else(|| complete.then(document)) {
        let about = machine::describe("cargo run --profile dist -p agentcore-bench -- durable", None);
        report::write(&file, "durable", &format!("## Durable invocations\n\n{about}\n{targets}\n{parts}"))?;
        say(&format!("\nWritten to {}\n", file.display()))?;
    }
    Ok(())
}

/// A host with its state in `state`, in a process of its own.
async fn host(state: &Path) -> anyhow::Result<Server> {
    let port = free_port()?;
    let path = state.to_str().context("the folder's name is no text")?;
    let program = Program::this(["serve-durable-host", path, &port.to_string()])?;
    let host = Server::spawn(&program, port)?.listening(Duration::from_millis(2)).await?;
    // It listens before it has opened its store.
    json(&mut Wire::open(&address(&host)).await?, "/_agentcore/v1/host").await?;
    Ok(host)
}

fn invocation(session: &str, extra: &str, payload: &str) -> Vec<u8> {
    format!(
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nx-amzn-bedrock-agentcore-runtime-session-id: {session}\r\n{extra}\r\n{payload}",
        payload.len()
    )
    .into_bytes()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

async fn json(wire: &mut Wire, path: &str) -> anyhow::Result<Value> {
    let Answer { status, body, .. } = wire.exchange(&get(path)).await?;
    ensure!(status == 200, "{path}: {status}");
    Ok(serde_json::from_slice(&body)?)
}

fn address(host: &Server) -> Address {
    Address::Tcp(host.address)
}

fn session(number: usize) -> String {
    format!("a-session-of-the-benchmark-of-durable-work-{number:06}")
}
