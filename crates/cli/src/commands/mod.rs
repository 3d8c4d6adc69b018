//! The commands, a file for each.

mod answer;
pub(crate) mod audit;
pub(crate) mod config;
pub(crate) mod configure;
mod deploy;
pub(crate) mod destroy;
pub(crate) mod doctor;
mod environment;
mod host;
pub(crate) mod invoke;
pub(crate) mod keys;
pub(crate) mod launch;
pub(crate) mod logs;
mod payload;
pub(crate) mod results;
mod retention;
pub(crate) mod serve;
pub(crate) mod sessions;
mod signals;
pub(crate) mod status;
pub(crate) mod stop_session;
pub(crate) mod tasks;
mod verdict;
mod walls;

use std::process::ExitCode;

pub(crate) use walls::INIT_COMMAND;

use crate::cli::{Cli, Command};
use crate::context::Context;

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let context = Context::new(cli.global)?;
    match cli.command {
        Command::Configure(args) => configure::run(&args, &context),
        Command::Launch(args) => launch::run(&args, &context).await,
        Command::Serve(args) => serve::run(&args, &context).await,
        Command::Invoke(args) => invoke::run(&args, &context).await,
        Command::Results(args) => results::run(&args, &context).await,
        Command::Tasks(args) => tasks::run(&args, &context).await,
        Command::Status(args) => status::run(&args, &context).await,
        Command::Sessions(args) => sessions::run(&args, &context).await,
        Command::StopSession(args) => stop_session::run(&args, &context).await,
        Command::Logs(args) => logs::run(&args, &context).await,
        Command::Destroy(args) => destroy::run(&args, &context).await,
        Command::Doctor(args) => doctor::run(&args, &context).await,
        Command::Keys(args) => keys::run(&args),
        Command::Audit(args) => audit::run(&args, &context).await,
        Command::Config(args) => config::run(&args, &context),
    }
}
