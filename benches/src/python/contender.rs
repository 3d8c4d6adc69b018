//! The two packages, and the servers that they run on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::children::{Program, Server, free_port};

/// The agent that all of them serve.
const AGENT: &str = include_str!("../../python/contender.py");

/// A package on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    python: PathBuf,
    server: &'static str,
}

/// What the agent's entrypoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handler {
    Sync,
    Async,
    Stream,
    AsyncStream,
}

impl Handler {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::Stream => "stream",
            Self::AsyncStream => "async-stream",
        }
    }
}

impl Contender {
    /// Ours first, then the one that ratios are over.
    pub(super) fn all(ours: &Path, official: &Path) -> [Self; 3] {
        [
            Self { name: "this package", python: ours.into(), server: "own" },
            Self { name: "official, uvicorn", python: official.into(), server: "uvicorn" },
            Self { name: "official, uvloop and httptools", python: official.into(), server: "uvloop" },
        ]
    }

    /// Which build of our package this is: an error if it is another one.
    pub(super) fn describe(&self) -> anyhow::Result<String> {
        let source = "import platform, importlib.metadata as m, bedrock_agentcore._native\n\
            name = 'bedrock-agentcore-rs'\n\
            print(name, m.version(name) + ', Python', platform.python_version())";
        let output = Command::new(&self.python).args(["-c", source]).output();
        let output = output.with_context(|| format!("{} cannot be started", self.python.display()))?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} has no bedrock-agentcore-rs: {error}", self.python.display());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The agent on a port. `busy`: with a thread that computes all the time.
    pub(super) fn program(&self, port: u16, handler: Handler, busy: bool) -> Program {
        let busy = if busy { "busy" } else { "idle" };
        Program::other(&self.python, ["-c", AGENT, &port.to_string(), self.server, handler.name(), busy])
    }

    pub(super) async fn start(&self, handler: Handler, busy: bool) -> anyhow::Result<Server> {
        let port = free_port()?;
        let server = Server::start(&self.program(port, handler, busy), port).await;
        server.with_context(|| format!("{} is not to be measured", self.name))
    }
}
