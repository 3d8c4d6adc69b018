//! `agentcore launch -l`: a host for the project at hand, until Ctrl-C.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agentcore_protocol::agent::DEFAULT_PORT;
use agentcore_protocol::lifecycle::LifecycleConfiguration;
use agentcore_runtime::{HostOptions, OnShutdown};

use super::environment::{self, variable};
use super::retention::RetentionArgs;
use super::signals::{self, Signals};
use super::walls::WallArgs;
use super::{deploy, host};
use crate::config::project::Project;
use crate::config::state;
use crate::context::Context;
use crate::output::time::span;
use crate::output::{self, FAINT, GOOD, STRONG, styled};

/// Run the project's agents on this machine, until Ctrl-C, or deploy one to a host.
///
/// Each session gets an agent process of its own, which lives while it works and ends when it has
/// been idle for the idle timeout. Ctrl-C stops all sessions; a second one leaves at once, and the
/// next launch finds them again. State is kept in `.agentcore/`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run here. Without it the agent is deployed to the host at --endpoint: its code is packed (without what
    /// .gitignore and .dockerignore name), uploaded, and registered with an access key that may administer it
    #[arg(short, long)]
    local: bool,
    /// Run only this agent [default: all, the default one at the root; to deploy, the default one]
    #[arg(short, long)]
    pub(super) agent: Option<String>,
    /// A variable for the agents, beside those of this shell (also: -env)
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = variable)]
    pub(super) env: Vec<(String, String)>,
    /// A file or folder that the agents may read, beside their code and what their program needs
    #[arg(long, value_name = "PATH")]
    read_only: Vec<PathBuf>,
    #[command(flatten)]
    walls: WallArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    /// End a session after so many idle seconds, from 1 [default: as configured, else 900]
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: Option<u64>,
    /// End a session after so many seconds in any case [default: as configured, else 28800]
    #[arg(long, value_name = "SECONDS")]
    max_lifetime: Option<u64>,
    /// Port to serve on 127.0.0.1; 0 takes a free one
    #[arg(short, long, default_value_t = DEFAULT_PORT)]
    port: u16,
}

impl Args {
    /// What was said of how long sessions live.
    pub(super) fn lifecycle(&self) -> LifecycleConfiguration {
        LifecycleConfiguration {
            idle_runtime_session_timeout: self.idle_timeout,
            max_lifetime: self.max_lifetime,
        }
    }
}

/// Serves the project's agents until it is told to end.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    if !args.local {
        return deploy::run(args, context).await;
    }
    let project = context.project()?;
    host::log_to_stderr("warn");
    let agents = host::launchables(&project, args.agent.as_deref(), args.lifecycle())?;
    let definitions =
        host::definitions(agents, environment::shell_environment(&args.env), &args.read_only).await?;

    // Not before: there is nothing to end yet, and whoever interrupts a build wants to be rid of it.
    let hold = Signals::listen()?.and_hangup()?;
    let mut options = host_options(&project, args.port);
    keep_out_of_version_control(&options.state)?;
    options.default_agent = definitions.first().map(|agent| agent.name.clone());
    options.agents = definitions;
    args.retention.apply(&mut options.retention);
    let told = options.clone();

    let host = host::start(options, &args.walls).await?;
    greet(&project, &told, host.local_addr());
    host.serve_until(signals::asked_to_end(hold, "\nStopping the sessions (Ctrl-C again leaves at once)"))
        .await?;
    Ok(ExitCode::SUCCESS)
}

/// What the host of a project is told, but for its agents.
pub(super) fn host_options(project: &Project, port: u16) -> HostOptions {
    let mut options = HostOptions::new(state::of_project(project.folder()));
    options.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    options.on_shutdown = OnShutdown::Stop;
    options
}

/// A state folder ignores itself, so that no one commits a log.
fn keep_out_of_version_control(state: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(state)?;
    let file = state.join(".gitignore");
    if !file.exists() {
        fs::write(file, "*\n")?;
    }
    Ok(())
}

fn greet(project: &Project, options: &HostOptions, address: SocketAddr) {
    let Some(agent) = options.agents.first() else { return };
    let (idle, life) = (agent.lifecycle.idle_timeout(), agent.lifecycle.max_lifetime());
    output::note(format_args!(
        "{} {} at {}",
        styled(GOOD, "Serving"),
        styled(STRONG, &agent.name),
        styled(STRONG, format_args!("http://localhost:{}", address.port()))
    ));
    let others: Vec<&str> = options.agents[1..].iter().map(|agent| agent.name.as_str()).collect();
    if !others.is_empty() {
        output::note(format_args!("  and {} (agentcore invoke -a NAME)", others.join(", ")));
    }
    let lives =
        format!("  a session ends when idle for {}, and after {} in any case", span(idle), span(life));
    output::note(styled(FAINT, lives));
    output::note("Try in another terminal:");
    let folder = project.folder();
    if std::env::current_dir().is_ok_and(|here| here != folder) {
        output::note(format_args!("  cd {}", folder.display()));
    }
    for command in [
        "agentcore invoke '{\"prompt\": \"start processing\"}' -l".to_owned(),
        format!("curl http://localhost:{}/ping", address.port()),
        "agentcore sessions list".to_owned(),
        "agentcore logs -f".to_owned(),
    ] {
        output::note(format_args!("  {command}"));
    }
    output::note(styled(FAINT, "Ctrl-C stops the sessions and leaves."));
}
