//! Sandboxes without processes, for tests of whatever stands above.
//!
//! A closure serves the connections, and [`InMemoryAgent`] is the test's hand on the agent: it
//! ends it, makes it deaf to SIGTERM, lets it hang, writes its log.
//!
//! ```
//! # use std::sync::Arc;
//! # use agentcore_protocol::SystemClock;
//! # use agentcore_sandbox::{ExitStatus, InMemoryKind};
//! # use tokio::io::AsyncWriteExt;
//! let kind = InMemoryKind::new(Arc::new(SystemClock), |agent, mut io| async move {
//!     let _ = io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
//!     agent.exit(ExitStatus::Code(0));
//! });
//! assert_eq!(kind.running(), 0);
//! ```

mod agent;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentcore_protocol::Clock;
use tokio::io::DuplexStream;

pub use agent::{InMemoryAgent, ScriptedCommand};

use crate::{
    Adopted, BoxFuture, ExitStatus, NetworkMode, ResourceLimits, Sandbox, SandboxKind, SandboxSpec,
    Shortfall, StartError, Wall,
};

type Serve = dyn Fn(InMemoryAgent, DuplexStream) -> BoxFuture<'static, ()> + Send + Sync;
type RunCommand = dyn Fn(&str) -> ScriptedCommand + Send + Sync;

/// The kind of sandbox that tests script. Clones are the same kind; keep one to see what a host
/// does with the other, or hand it to a second host as if the first had died.
#[derive(Clone)]
pub struct InMemoryKind {
    world: Arc<World>,
}

/// What happens instead of an ordinary start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptedStart {
    /// The program is not found.
    ProgramMissing,
    /// The start never returns.
    Hang,
    /// The agent is started and ends at once.
    ExitAtOnce {
        /// How it ends.
        status: ExitStatus,
        /// What it leaves in its log.
        log: Vec<u8>,
    },
    /// The agent runs, but connections to it wait for ever.
    NeverListen,
}

struct World {
    clock: Arc<dyn Clock>,
    serve: Box<Serve>,
    run_command: Mutex<Box<RunCommand>>,
    scripts: Mutex<VecDeque<ScriptedStart>>,
    agents: Mutex<Vec<InMemoryAgent>>,
}

impl InMemoryKind {
    /// A kind whose agents serve each connection with `serve`. Connections end with the agent.
    pub fn new<F, Served>(clock: Arc<dyn Clock>, serve: F) -> Self
    where
        F: Fn(InMemoryAgent, DuplexStream) -> Served + Send + Sync + 'static,
        Served: Future<Output = ()> + Send + 'static,
    {
        let world = World {
            clock,
            serve: Box::new(move |agent, io| Box::pin(serve(agent, io))),
            run_command: Mutex::new(Box::new(|_| ScriptedCommand::default())),
            scripts: Mutex::default(),
            agents: Mutex::default(),
        };
        Self { world: Arc::new(world) }
    }

    /// Decides what the next start that has no script yet does; later ones are ordinary again.
    pub fn script_next_start(&self, script: ScriptedStart) {
        lock(&self.world.scripts).push_back(script);
    }

    /// Decides what [`Sandbox::exec`] does, instead of leaving at once with code 0.
    pub fn script_commands(&self, run: impl Fn(&str) -> ScriptedCommand + Send + Sync + 'static) {
        *lock(&self.world.run_command) = Box::new(run);
    }

    /// Every agent that was ever started, oldest first.
    pub fn agents(&self) -> Vec<InMemoryAgent> {
        lock(&self.world.agents).clone()
    }

    /// How many agents have not ended.
    pub fn running(&self) -> usize {
        self.agents().iter().filter(|agent| agent.exited().is_none()).count()
    }

    fn latest_in(&self, folder: &Path) -> Option<InMemoryAgent> {
        self.agents().into_iter().rev().find(|agent| agent.spec().folder == folder)
    }

    fn begin(&self, spec: &SandboxSpec, script: Option<ScriptedStart>) -> InMemoryAgent {
        let agent = InMemoryAgent::new(Arc::downgrade(&self.world), spec.clone());
        match script {
            Some(ScriptedStart::NeverListen) => agent.stop_listening(),
            Some(ScriptedStart::ExitAtOnce { status, log }) => {
                agent.write_log(&log);
                agent.exit(status);
            }
            _ => {}
        }
        lock(&self.world.agents).push(agent.clone());
        agent
    }
}

impl SandboxKind for InMemoryKind {
    fn start<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Arc<dyn Sandbox>, StartError>> {
        let script = lock(&self.world.scripts).pop_front();
        Box::pin(async move {
            match script {
                Some(ScriptedStart::ProgramMissing) => {
                    Err(StartError::Program { program: spec.program.clone(), source: missing(&spec.program) })
                }
                Some(ScriptedStart::Hang) => std::future::pending().await,
                script => Ok(Arc::new(self.begin(spec, script)) as Arc<dyn Sandbox>),
            }
        })
    }

    fn adopt<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, io::Result<Adopted>> {
        Box::pin(async move {
            Ok(match self.latest_in(folder) {
                None => Adopted::Gone,
                Some(agent) => match agent.exited() {
                    Some(exit) => Adopted::Exited(exit),
                    None => Adopted::Running(Arc::new(agent)),
                },
            })
        })
    }

    // Its agents reach nothing that the test does not hand them.
    fn has_networks(&self) -> bool {
        true
    }

    fn shortfall(&self, network: NetworkMode, _: &ResourceLimits) -> Shortfall {
        Shortfall::of(&Wall::ALL.into(), network)
    }
}

impl fmt::Debug for InMemoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryKind").field("agents", &self.agents()).finish_non_exhaustive()
    }
}

fn missing(program: &Path) -> io::Error {
    let program: PathBuf = program.into();
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", program.display()))
}

// What is behind these locks is whole between any two statements, so a panic elsewhere in a test
// need not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
