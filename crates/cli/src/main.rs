//! The `agentcore` command.

mod cli;
mod client;
mod commands;
mod config;
mod context;
mod failure;
mod output;
mod remote;
mod target;

use std::env;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// A request allocates some thirty times, which the system's allocator makes a tenth of its cost.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // The init of a sandbox comes before everything else: it is small, and has no threads.
    if env::args_os().nth(1).is_some_and(|argument| argument == commands::INIT_COMMAND) {
        return agentcore_sandbox::init::run(env::args_os().skip(2));
    }
    let cli = cli::Cli::parse_from(cli::spell_out(env::args_os()));
    let runtime = match agentcore_runtime::host_runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            failure::report(&error.into());
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(commands::run(cli)).unwrap_or_else(|error| {
        failure::report(&error);
        ExitCode::FAILURE
    })
}
