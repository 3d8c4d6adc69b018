//! The benchmarks behind docs/benchmarks.md.
//!
//! ```text
//! cargo run --profile dist -p agentcore-bench -- sdk
//! ```
//! Whatever is measured runs in a process of its own: this program started again, with one of the
//! hidden commands below. Nothing here is a test: figures are reported, never asserted.

mod children;
mod durable;
mod host;
mod load;
mod machine;
mod python;
mod report;
mod sdk;
mod server;
mod stats;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

use crate::load::LoadOptions;

/// For all the servers alike: what the host has, and what the SDK recommends to authors.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measures this project against what else there is, on this machine.
#[derive(Parser)]
#[command(name = "agentcore-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The SDK: requests, tasks, memory, and /ping while handlers block.
    Sdk(SdkArguments),
    /// The host: requests through it, first answers of new sessions, and idle sessions.
    Host(host::HostArguments),
    /// The Python package: requests, streams, start and memory, against the official package.
    Python(python::PythonArguments),
    /// The walls between sessions: the same sessions with all of them and with none.
    Walls(host::walls::WallsArguments),
    /// Serves a host whose sessions are processes, as a file of options says.
    #[command(hide = true)]
    ServeProcesses {
        options: PathBuf,
        /// With every wall that stands here.
        #[arg(long)]
        walls: bool,
    },
    /// Durable invocations: acknowledgements, a million records, readers of a stream, tasks on record.
    Durable(durable::DurableArguments),
    /// Serves a host whose agents are in memory.
    #[command(hide = true)]
    ServeDurableHost { folder: PathBuf, port: u16 },
    /// Serves an agent that answers with its payload.
    #[command(hide = true)]
    ServeAgent {
        port: u16,
        /// Takes and gives JSON of any shape.
        #[arg(long)]
        untyped: bool,
    },
    /// Serves an agent whose handlers sleep or compute until their caller leaves.
    #[command(hide = true)]
    ServeBusyAgent { port: u16 },
    /// Serves the same bytes as the agent, with hyper alone.
    #[command(hide = true)]
    ServeHyper {
        port: u16,
        /// Makes them from each payload.
        #[arg(long)]
        json: bool,
    },
    /// Sends requests to a server and prints what it saw as JSON.
    #[command(hide = true)]
    Load(LoadOptions),
    /// Starts and completes tasks and prints what one costs as JSON.
    #[command(hide = true)]
    MeasureTasks(sdk::tasks::TaskOptions),
    /// Starts and completes tasks and prints this process's memory as JSON.
    #[command(hide = true)]
    MeasureMemory {
        /// After how many tasks.
        #[arg(value_delimiter = ',')]
        after: Vec<u64>,
    },
    /// Serves an agent that answers with a stream of items.
    #[command(hide = true)]
    ServeStreamAgent,
    /// Serves an agent that takes and gives large bodies.
    #[command(hide = true)]
    ServeBulkAgent,
    /// Serves the sockets of idle agents, and on the port how many pings they had.
    #[command(hide = true)]
    ServeStubs { folder: PathBuf, sockets: u32, port: u16 },
    /// Serves a host whose sessions are those stubs.
    #[command(hide = true)]
    ServeStubHost { folder: PathBuf, port: u16 },
    /// Sends requests of several kinds to a server and prints what it saw as JSON.
    #[command(hide = true)]
    LoadThrough(host::load::LoadOptions),
    /// Becomes another program, kept on one processor.
    #[command(hide = true)]
    OnCpu {
        cpu: usize,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<std::ffi::OsString>,
    },
}

#[derive(clap::Args)]
struct SdkArguments {
    /// Fewer and shorter rounds: a look within half a minute, too noisy to be written down.
    #[arg(long)]
    quick: bool,
    /// A Python with benches/requirements.txt installed, to measure the official SDK.
    #[arg(long, env = "AGENTCORE_BENCH_PYTHON")]
    python: Option<PathBuf>,
    /// The file whose section is replaced: docs/benchmarks.md, or with --quick none.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Only these parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<sdk::Part>,
}

/// The argument by which this program is the init of a sandbox.
const INIT_COMMAND: &str = "__init";

fn main() -> anyhow::Result<ExitCode> {
    // Before anything else: init lives without threads and runtimes.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == INIT_COMMAND) {
        return Ok(agentcore_sandbox::init::run(std::env::args_os().skip(2)));
    }
    measure().map(|()| ExitCode::SUCCESS)
}

fn measure() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Sdk(arguments) => sdk::run(arguments),
        Command::ServeAgent { port, untyped } => server::agent::serve(port, untyped),
        Command::ServeBusyAgent { port } => server::busy_agent::serve(port),
        Command::ServeHyper { port, json } => {
            server::bare::serve(SocketAddr::from(([127, 0, 0, 1], port)), json)
        }
        Command::Load(options) => load::run(options),
        Command::MeasureTasks(options) => sdk::tasks::measure(options),
        Command::MeasureMemory { after } => sdk::memory::measure(&after),
        Command::Host(arguments) => host::run(arguments),
        Command::Python(arguments) => python::run(arguments),
        Command::Walls(arguments) => host::walls::run(arguments),
        Command::ServeProcesses { options, walls } => host::walls::serve_host(&options, walls),
        Command::Durable(arguments) => durable::run(arguments),
        Command::ServeDurableHost { folder, port } => durable::serve_host(folder, port),
        Command::ServeStreamAgent => host::agents::serve_stream(),
        Command::ServeBulkAgent => host::agents::serve_bulk(),
        Command::ServeStubs { folder, sockets, port } => host::idle::serve_stubs(&folder, sockets, port),
        Command::ServeStubHost { folder, port } => host::idle::serve_host(folder, port),
        Command::LoadThrough(options) => host::load::run(options),
        Command::OnCpu { cpu, program } => children::become_program_on(cpu, &program),
    }
}
