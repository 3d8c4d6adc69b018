//! What `launch -l` and `serve` share: the agents of a project, and a host until a signal.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use agentcore_protocol::SystemClock;
use agentcore_protocol::lifecycle::LifecycleConfiguration;
use agentcore_runtime::{AgentDefinition, Host, HostError, HostOptions};
use agentcore_sandbox::{ProcessKind, python_command};
use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::launchable::{LaunchError, Launchable};
use crate::config::project::Project;
use crate::failure::Failure;
use crate::output;

/// Name of the hidden subcommand that runs as the init of a sandbox.
pub(crate) const INIT_COMMAND: &str = "__init";
/// Environment variable with the filter of the host's own log.
const LOG_VARIABLE: &str = "AGENTCORE_LOG";
/// What a shell reports of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

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
) -> anyhow::Result<Vec<AgentDefinition>> {
    let all = move || launchables.iter().map(|agent| definition(agent, &env)).collect::<Result<Vec<_>, _>>();
    Ok(tokio::task::spawn_blocking(all).await.context("the build was cut short")??)
}

fn definition(agent: &Launchable, env: &BTreeMap<String, String>) -> Result<AgentDefinition, LaunchError> {
    let file = agent.built()?;
    let (program, args) = match &agent.interpreter {
        Some(python) => python_command(python, file),
        None => (file, Vec::new()),
    };
    let mut definition = AgentDefinition::new(&agent.name, program, &agent.code);
    definition.args = args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    definition.env = env.clone();
    definition.lifecycle = agent.lifecycle;
    Ok(definition)
}

/// Starts a host whose sandboxes are processes.
pub(super) async fn start(options: HostOptions) -> anyhow::Result<Host> {
    let program = env::current_exe().context("cannot find this program")?;
    let init = vec![program.into_os_string(), OsString::from(INIT_COMMAND)];
    let kind = Arc::new(ProcessKind::new(init));
    Host::start(options, kind, Arc::new(SystemClock)).await.map_err(explain)
}

fn explain(error: HostError) -> anyhow::Error {
    let hint = match &error {
        HostError::Listen { .. } => "name another port with --port (or --listen), or see `agentcore doctor`",
        HostError::AlreadyRunning { .. } => "use the host that runs, or stop it first",
        _ => return error.into(),
    };
    Failure::new(error.to_string()).hint(hint).into()
}

/// Waits for the first signal that asks the program to end; from then on a second one ends it at
/// once.
pub(super) async fn asked_to_end(mut signals: Signals, message: &str) {
    signals.next().await;
    output::note(message);
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(INTERRUPTED);
    });
}

/// The signals that ask a program to end.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes hold of SIGINT and SIGTERM. Before a host starts, so that none is missed.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup: None })
    }

    /// Takes hold of SIGHUP too, for what should end with its terminal.
    pub(super) fn and_hangup(mut self) -> anyhow::Result<Self> {
        self.hangup = Some(signal(SignalKind::hangup()).context("cannot listen for signals")?);
        Ok(self)
    }

    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Writes the host's own log to standard error, `default` and above unless `AGENTCORE_LOG` says
/// otherwise.
pub(super) fn log_to_stderr(default: &str) {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    // A second call, as a test may make, changes nothing.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(anstream::stderr).try_init();
}

/// Variables that describe this process, not the agent.
const OWN_VARIABLES: [&str; 8] =
    ["HOME", "TMPDIR", "PWD", "OLDPWD", "PORT", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
/// What every program may need, and what gives nothing away.
const PLAIN_VARIABLES: [&str; 6] = ["PATH", "LANG", "TZ", "USER", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The environment of an agent that is launched from a shell: the shell's own, as if the agent had
/// been started there, and `extra`.
pub(super) fn shell_environment(extra: &[(String, String)]) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = utf8_environment()
        .filter(|(name, _)| !OWN_VARIABLES.contains(&name.as_str()) && !name.starts_with("AGENTCORE_"))
        .collect();
    // A session has a home of its own, but its credentials are its owner's.
    if let Some(home) = env::var_os("HOME").map(PathBuf::from) {
        for (name, file) in [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")] {
            let path = home.join(".aws").join(file);
            if let (true, Some(path)) = (path.is_file(), path.to_str()) {
                environment.entry(name.to_owned()).or_insert_with(|| path.to_owned());
            }
        }
    }
    environment.extend(extra.iter().cloned());
    environment
}

/// The environment of an agent of a server: what every program may need, and `extra`.
pub(super) fn plain_environment(extra: &[(String, String)]) -> BTreeMap<String, String> {
    let plain = |name: &str| PLAIN_VARIABLES.contains(&name) || name.starts_with("LC_");
    utf8_environment().filter(|(name, _)| plain(name)).chain(extra.iter().cloned()).collect()
}

fn utf8_environment() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads `KEY=VALUE`, or `KEY` for the value that this program has.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => {
            (text, env::var(text).map_err(|_| format!("{text} is not set here: write it as {text}=VALUE"))?)
        }
    };
    if name.is_empty() || name.contains('\0') || value.contains('\0') {
        return Err("write it as KEY=VALUE".to_owned());
    }
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_name_and_a_value_of_its_own_or_the_shells() {
        assert_eq!(variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(variable("A="), Ok(("A".into(), String::new())));
        assert_eq!(variable("PATH").unwrap().1, env::var("PATH").unwrap());
        assert!(variable("=x").is_err() && variable("SURELY_NOT_SET_ANYWHERE").is_err());
    }

    #[test]
    fn a_servers_agents_do_not_see_the_servers_environment() {
        let extra = [("TOKEN".to_owned(), "x".to_owned())];
        let plain = plain_environment(&extra);
        assert_eq!(plain["TOKEN"], "x");
        assert!(plain.contains_key("PATH") && !plain.contains_key("CARGO_MANIFEST_DIR"));
        let shell = shell_environment(&extra);
        assert!(shell.contains_key("CARGO_MANIFEST_DIR") && !shell.contains_key("HOME"));
    }
}
