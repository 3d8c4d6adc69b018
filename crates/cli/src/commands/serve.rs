//! `agentcore serve`: a host that keeps running, and whose sessions outlive it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agentcore_protocol::lifecycle::LifecycleConfiguration;
use agentcore_runtime::{AgentDefinition, HostOptions, OnShutdown, TlsOptions};
use anyhow::Context as _;
use clap::ValueEnum;
use yaml_serde::{Mapping, Value};

use super::environment::{self, variable};
use super::host;
use super::retention::RetentionArgs;
use super::signals::{self, Signals};
use super::walls::WallArgs;
use crate::config::state;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, GOOD, STRONG, styled};

/// Run a host that keeps running: for a service manager, or a machine of its own.
///
/// It serves the agents it served before, those of its configuration, and those of the project at
/// hand if there is one. On SIGTERM it leaves, its sessions go on, and the next host finds them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to serve; beyond loopback with --require-auth and a certificate [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Folder for the host's state [default: $XDG_STATE_HOME/agentcore; as root /var/lib/agentcore]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Folder below which the code is that AWS's API may have run [default: it may have none run]
    #[arg(long, value_name = "DIR")]
    code_root: Option<PathBuf>,
    /// Serve nobody who does not show who they are: with an access key (`agentcore keys`), or a token where an
    /// agent takes those
    #[arg(long)]
    require_auth: bool,
    /// PEM file with the certificate to serve with, and those that lead to its root. Renewed files are taken
    /// over within ten seconds
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve plain HTTP beyond loopback: TLS ends at a proxy in front of the host
    #[arg(long, conflicts_with = "tls_cert")]
    behind_proxy: bool,
    /// Requests per second that each caller may make; 0 is no limit [default: 200 beyond loopback]
    #[arg(long, value_name = "N")]
    max_requests_per_second: Option<u32>,
    /// What becomes of the sessions when the host is told to end [default: leave]
    #[arg(long)]
    on_shutdown: Option<Shutdown>,
    /// A YAML or JSON file with the host's options; what is said here goes before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A variable for the project's agents; they do not get the environment of the host (also: -env)
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = variable)]
    env: Vec<(String, String)>,
    /// A file or folder that the project's agents may read, beside their code and what their program needs
    #[arg(long, value_name = "PATH")]
    read_only: Vec<PathBuf>,
    #[command(flatten)]
    walls: WallArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    /// Print the effective options as JSON, without the values of variables, and leave
    #[arg(long)]
    print_config: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shutdown {
    /// Stop them
    Stop,
    /// Let them go on, for the next host
    Leave,
}

/// Serves until it is told to end.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    host::log_to_stderr("info");
    let mut options = options(args)?;
    add_project(&mut options, args, context).await?;
    if args.print_config {
        hide_values(&mut options.agents);
        output::json(&options)?;
        return Ok(ExitCode::SUCCESS);
    }
    let leaves = options.on_shutdown == OnShutdown::Leave;
    // Not before: there is nothing to end while agents are built.
    let hold = Signals::listen()?;
    let host = host::start(options, &args.walls).await?;
    let address = styled(STRONG, host.url());
    output::note(format_args!("{} at {address}", styled(GOOD, "Serving")));
    let message = if leaves { "Leaving; the sessions go on" } else { "Stopping the sessions" };
    host.serve_until(signals::asked_to_end(hold, message)).await?;
    Ok(ExitCode::SUCCESS)
}

/// The options of the file, with the flags before them.
fn options(args: &Args) -> anyhow::Result<HostOptions> {
    let mut file = match &args.config {
        Some(path) => read(path)?,
        None => Mapping::new(),
    };
    if let Some(state) = &args.state {
        let state = std::path::absolute(state)?;
        file.insert("state".into(), state.to_string_lossy().into_owned().into());
    } else if !file.contains_key("state") {
        let hint = "name a folder for the host's state with --state";
        let state = state::of_server().ok_or_else(|| Failure::new("there is no home folder").hint(hint))?;
        file.insert("state".into(), state.to_string_lossy().into_owned().into());
    }
    let mut options: HostOptions = yaml_serde::from_value(Value::Mapping(file)).map_err(|error| {
        let name = args.config.as_deref().unwrap_or(Path::new("--state")).display();
        Failure::new(format!("{name}: {error}")).hint("`agentcore serve --print-config` shows every option")
    })?;
    options.listen = args.listen.unwrap_or(options.listen);
    if let Some(root) = &args.code_root {
        let hint = "name a folder that is there";
        let unusable = |error| Failure::new(format!("{}: {error}", root.display())).hint(hint);
        options.code_root = Some(root.canonicalize().map_err(unusable)?);
    }
    options.limits.requests_per_second = args.max_requests_per_second.or(options.limits.requests_per_second);
    options.auth.required |= args.require_auth;
    options.auth.plain_http |= args.behind_proxy;
    if let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) {
        options.tls = Some(TlsOptions { cert: std::path::absolute(cert)?, key: std::path::absolute(key)? });
    }
    args.retention.apply(&mut options.retention);
    match args.on_shutdown {
        Some(Shutdown::Stop) => options.on_shutdown = OnShutdown::Stop,
        Some(Shutdown::Leave) => options.on_shutdown = OnShutdown::Leave,
        None => {}
    }
    Ok(options)
}

fn read(path: &Path) -> anyhow::Result<Mapping> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    match yaml_serde::from_str(&text).with_context(|| format!("{} is not valid YAML", path.display()))? {
        Value::Mapping(mapping) => Ok(mapping),
        Value::Null => Ok(Mapping::new()),
        _ => Err(Failure::new(format!("{} holds no mapping at its top", path.display())).into()),
    }
}

/// Adds the agents of the project at hand.
async fn add_project(options: &mut HostOptions, args: &Args, context: &Context) -> anyhow::Result<()> {
    let Some(project) = context.project_if_any()? else {
        return Ok(());
    };
    let agents = host::launchables(&project, None, LifecycleConfiguration::default())?;
    let definitions =
        host::definitions(agents, environment::plain_environment(&args.env), &args.read_only).await?;
    if options.default_agent.is_none() {
        options.default_agent = definitions.first().map(|agent| agent.name.clone());
    }
    options.agents.extend(definitions);
    Ok(())
}

fn hide_values(agents: &mut [AgentDefinition]) {
    for value in agents.iter_mut().flat_map(|agent| agent.env.values_mut()) {
        *value = "(hidden)".to_owned();
    }
}
