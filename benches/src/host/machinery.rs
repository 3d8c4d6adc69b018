//! A host of its own for a measurement: the `agentcore` program with a state folder that goes when
//! it does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::slice;

use agentcore_runtime::{AgentDefinition, HOST_TOKEN_FILE, HOST_TOKEN_HEADER, HostOptions, OnShutdown};
use agentcore_sandbox::python::python_command;
use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::Setup;
use super::gentle::Gentle;
use super::load::request;
use super::wire::{Address, Answer, Wire};
use crate::children::{Program, free_port};

/// `agentcore serve`.
pub(super) struct HostProcess {
    server: Gentle,
    // After the server: it goes when that has ended.
    folder: TempDir,
}

pub(super) fn agentcore_beside_this() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("this program cannot tell where it is")?;
    let agentcore = this.with_file_name("agentcore");
    ensure!(
        agentcore.exists(),
        "there is no {}: build it with the same profile (`cargo build --profile dist -p agentcore`), or name it \
         with --agentcore",
        agentcore.display()
    );
    Ok(agentcore)
}

/// The host's state, below the folder of a measurement.
const STATE: &str = "state";
/// The folder with the code of agents: its entries are linked into each session's working folder.
const CODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// An agent of this program: one of its hidden commands.
pub(super) fn agent(name: &str, arguments: &[&str]) -> anyhow::Result<AgentDefinition> {
    let this = std::env::current_exe().context("this program cannot tell where it is")?;
    let mut agent = AgentDefinition::new(name, this, CODE);
    agent.args = arguments.iter().map(ToString::to_string).collect();
    Ok(agent)
}

/// The agent in Python.
pub(super) fn python_script() -> PathBuf {
    Path::new(CODE).join("agent.py")
}

/// The agent in Python, with a port that it would serve if it ran alone.
pub(super) fn python_agent(name: &str, python: &Path, port: &str) -> anyhow::Result<AgentDefinition> {
    let (program, args) = python_command(&std::path::absolute(python)?, python_script());
    let mut agent = AgentDefinition::new(name, program, CODE);
    agent.args = args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    agent.args.push(port.to_owned());
    let path = std::env::var("PATH").unwrap_or_default();
    agent.env = BTreeMap::from([("PATH".to_owned(), path)]);
    Ok(agent)
}

impl HostProcess {
    /// The `agentcore` program, serving these agents.
    pub(super) async fn start(setup: &Setup, agents: Vec<AgentDefinition>) -> anyhow::Result<Self> {
        let agentcore = &setup.agentcore;
        Self::start_as(agents, |options| {
            Ok(Program::other(agentcore, ["serve".as_ref(), "--config".as_ref(), options.as_os_str()]))
        })
        .await
    }

    /// A program that is given a file with its options.
    pub(super) async fn start_as(
        agents: Vec<AgentDefinition>,
        program: impl FnOnce(&Path) -> anyhow::Result<Program>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("agentcore-bench-").tempdir()?;
        let port = free_port()?;
        let options = HostOptions {
            listen: ([127, 0, 0, 1], port).into(),
            default_agent: agents.first().map(|agent| agent.name.clone()),
            on_shutdown: OnShutdown::Stop,
            agents,
            ..HostOptions::new(folder.path().join(STATE))
        };
        let file = folder.path().join("options.json");
        std::fs::write(&file, serde_json::to_vec(&options)?)?;
        let server = Gentle::start(&program(&file)?, port).await.context("the host does not start")?;
        Ok(Self { server, folder })
    }

    pub(super) fn address(&self) -> Address {
        Address::Tcp(self.server.address)
    }

    pub(super) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Its state folder.
    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join(STATE)
    }

    /// A folder for files of the measurement.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Begins a session by invoking it, and says where its agent is.
    pub(super) async fn begin(&self, agent: &str, session: &str, payload: &[u8]) -> anyhow::Result<Agent> {
        self.begin_with(agent, &request(&target(agent), session, &[], payload)).await
    }

    /// The same with a request that is ready.
    pub(super) async fn begin_with(&self, agent: &str, request: &[u8]) -> anyhow::Result<Agent> {
        let before = self.incarnations()?;
        let answer = Wire::open(&self.address()).await?.exchange(request).await?;
        ensure!(answer.status == 200, "agent {agent} answered {}: {}", answer.status, text(&answer));
        let new = self.incarnations()?.into_iter().find(|folder| !before.contains(folder));
        let folder = new.with_context(|| format!("no session of agent {agent} has begun"))?;
        let record: Value = serde_json::from_slice(&std::fs::read(folder.join("init.json"))?)?;
        let pid = record["agent_pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        Ok(Agent { socket: folder.join("agent.sock"), pid: pid.context("the agent has no process")? })
    }

    fn incarnations(&self) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.state().join("i");
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
        Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
    }

    /// Stops a session and waits until it has ended.
    pub(super) async fn stop(&self, agent: &str, session: &str) -> anyhow::Result<()> {
        let mut wire = Wire::open(&self.address()).await?;
        let path = format!("/_agentcore/v1/sessions/{session}");
        // Where agents share this machine's network, the host asks for it.
        let token = std::fs::read_to_string(self.state().join(HOST_TOKEN_FILE))?;
        let shown = format!("{HOST_TOKEN_HEADER}: {token}");
        let stop = request(&format!("{path}/stop?agent={agent}"), session, slice::from_ref(&shown), b"");
        let answer = wire.exchange(&stop).await?;
        ensure!(answer.status == 202, "session {session} cannot be stopped: {}", text(&answer));
        let look = format!("GET {path}?agent={agent} HTTP/1.1\r\nhost: localhost\r\n{shown}\r\n\r\n");
        loop {
            let answer = wire.exchange(look.as_bytes()).await?;
            if text(&answer).contains(r#""state":"stopped""#) {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

/// The agent of a session.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    pub(super) socket: PathBuf,
    pub(super) pid: u32,
}

/// The entrypoint of one of several agents.
pub(super) fn target(agent: &str) -> String {
    format!("/invocations?agent={agent}")
}

fn text(answer: &Answer) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&answer.body)
}
