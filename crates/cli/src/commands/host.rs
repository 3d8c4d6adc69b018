//! What `launch -l` and `serve` share: the agents of a project, and a host for them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentcore_protocol::SystemClock;
use agentcore_protocol::lifecycle::LifecycleConfiguration;
use agentcore_runtime::{AgentDefinition, Host, HostError, HostOptions};
use agentcore_sandbox::ProcessKind;
use agentcore_sandbox::python::python_command;
use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing_subscriber::EnvFilter;

use super::walls::{self, WallArgs};
use crate::config::launchable::{LaunchError, Launchable};
use crate::config::project::Project;
use crate::failure::Failure;
use crate::output;

/// Environment variable with the filter of the host's own log.
const LOG_VARIABLE: &str = "AGENTCORE_LOG";

/// Works out the agents of a project. Of one that was named, every failure counts; else agents
/// other than the default one that cannot be launched are told of and left out.
pub(super) fn launchables(
    project: &Project,
    named: Option<&str>,
    overrides: LifecycleConfiguration,
) -> anyhow::Result<Vec<Launchable>> {
    let (first, entry) = project.agent(named)?;
    let mut found = vec![Launchable::of(project, &first, &entry, overrides)?];
    if named.is_some() {
        return Ok(found);
    }
    for name in project.agent_names().into_iter().filter(|name| *name != first) {
        let (name, entry) = project.agent(Some(&name))?;
        match Launchable::of(project, &name, &entry, overrides) {
            Ok(launchable) => found.push(launchable),
            Err(error) => output::note(format_args!("note: left out: {error}")),
        }
    }
    Ok(found)
}

/// Turns agents into what a host is told of them; Cargo projects are built on the way.
pub(super) async fn definitions(
    launchables: Vec<Launchable>,
    env: BTreeMap<String, String>,
    read_only: &[PathBuf],
) -> anyhow::Result<Vec<AgentDefinition>> {
    let read_only = read_only.iter().map(|path| found(path)).collect::<Result<Vec<_>, _>>()?;
    let all = move || {
        let definitions = launchables.iter().map(|agent| definition(agent, &env, &read_only));
        definitions.collect::<Result<Vec<_>, _>>()
    };
    Ok(tokio::task::spawn_blocking(all).await.context("the build was cut short")??)
}

fn found(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| {
        let message = format!("agents cannot be shown {}: {error}", path.display());
        Failure::new(message).hint("name a file or folder that is there with --read-only")
    })
}

fn definition(
    agent: &Launchable,
    env: &BTreeMap<String, String>,
    read_only: &[PathBuf],
) -> Result<AgentDefinition, LaunchError> {
    let file = agent.built()?;
    let (program, args) = match &agent.interpreter {
        Some(python) => python_command(python, file),
        None => (file, Vec::new()),
    };
    let mut definition = AgentDefinition::new(&agent.name, program, &agent.code);
    definition.args = args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    definition.env = env.clone();
    definition.lifecycle = agent.lifecycle;
    definition.read_only = read_only.to_vec();
    definition.authorizer = agent.authorizer.clone();
    definition.request_headers = agent.request_headers.clone();
    definition.network = agent.network;
    definition.limits = agent.limits;
    definition.retention = agent.retention;
    Ok(definition)
}

/// Starts a host whose sandboxes are processes.
pub(super) async fn start(mut options: HostOptions, asked: &WallArgs) -> anyhow::Result<Host> {
    raise_descriptor_limit();
    let clock = Arc::new(SystemClock);
    let mut sandboxes = walls::sandboxes()?;
    sandboxes.hidden = vec![options.state.clone()];
    let report = walls::look_at(&sandboxes).await?;
    asked.apply(&mut options, &report)?;
    walls::tell(&report, &options);
    sandboxes.walls = report.standing;
    sandboxes.cgroups.settle();
    let kind = ProcessKind::new(sandboxes, clock.clone()).context("/proc is not readable")?;
    Host::start(options, Arc::new(kind), clock).await.map_err(explain)
}

/// Takes all the descriptors that are to be had: shells hand out 1,024, and a host needs some for
/// each session.
fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(limit = soft, %error, "the limit on open files cannot be raised");
    }
}

fn explain(error: HostError) -> anyhow::Error {
    let hint = match &error {
        HostError::Listen { .. } => "name another port with --port (or --listen), or see `agentcore doctor`",
        HostError::AlreadyRunning { .. } => "use the host that runs, or stop it first",
        _ => return error.into(),
    };
    Failure::new(error.to_string()).hint(hint).into()
}

/// Writes the host's own log to standard error, `default` and above unless `AGENTCORE_LOG` says
/// otherwise.
pub(super) fn log_to_stderr(default: &str) {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    // Colours are left out here rather than taken out on the way, which makes a line many writes.
    let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(io::stderr);
    // A second call, as a test may make, changes nothing.
    let _ = log.try_init();
}
