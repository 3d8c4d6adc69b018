//! One in-memory agent: the test's handle and the host's sandbox in one.

use std::fmt;
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::{World, lock};
use crate::{
    BoxFuture, ExecCommand, Execution, Exit, ExitStatus, Io, NetworkMode, Sandbox, SandboxSpec, Shortfall,
    StopSignal, Usage, Wall,
};

/// Bytes that a connection holds in each direction before the writer has to wait.
const CONNECTION_BUFFER: usize = 64 * 1024;
/// What a real SIGKILL reads as.
const KILLED: ExitStatus = ExitStatus::Signal(9);

/// One agent of an [`InMemoryKind`](super::InMemoryKind); clones are the same agent.
#[derive(Clone)]
pub struct InMemoryAgent {
    shared: Arc<Shared>,
}

/// What a command of [`Sandbox::exec`] does.
#[derive(Debug, Clone, Default)]
pub struct ScriptedCommand {
    /// Written to standard output.
    pub stdout: Vec<u8>,
    /// Written to standard error.
    pub stderr: Vec<u8>,
    /// How it ends; `None` is code 0.
    pub status: Option<ExitStatus>,
    /// It never ends by itself.
    pub hang: bool,
}

struct Shared {
    world: Weak<World>,
    spec: SandboxSpec,
    exit: watch::Sender<Option<Exit>>,
    listening: watch::Sender<bool>,
    state: Mutex<State>,
}

struct State {
    log: Vec<u8>,
    usage: Usage,
    signals: Vec<StopSignal>,
    ignores_terminate: bool,
}

impl InMemoryAgent {
    pub(super) fn new(world: Weak<World>, spec: SandboxSpec) -> Self {
        let usage = Usage { cpu: Duration::ZERO, memory_bytes: 1 << 20, processes: 1 };
        let state = State { log: Vec::new(), usage, signals: Vec::new(), ignores_terminate: false };
        let (exit, listening) = (watch::Sender::new(None), watch::Sender::new(true));
        Self { shared: Arc::new(Shared { world, spec, exit, listening, state: Mutex::new(state) }) }
    }

    /// What it was started from.
    pub fn spec(&self) -> &SandboxSpec {
        &self.shared.spec
    }

    /// Ends it. Only the first end counts.
    pub fn exit(&self, status: ExitStatus) {
        self.end(status, false, None);
    }

    /// Ends it as the kernel does when memory runs out.
    pub fn exit_out_of_memory(&self) {
        self.end(KILLED, true, None);
    }

    /// Ends it as init does when its folders hold more than so many bytes.
    pub fn exit_over_disk_limit(&self, bytes: u64) {
        self.end(KILLED, false, Some(bytes));
    }

    /// How it ended, if it has.
    pub fn exited(&self) -> Option<Exit> {
        *self.shared.exit.borrow()
    }

    /// Makes it deaf to [`StopSignal::Terminate`].
    pub fn ignore_terminate(&self) {
        lock(&self.shared.state).ignores_terminate = true;
    }

    /// Lets new connections wait, as those to a program that never accepts any.
    pub fn stop_listening(&self) {
        self.shared.listening.send_replace(false);
    }

    /// Serves connections again, those that waited included.
    pub fn listen(&self) {
        self.shared.listening.send_replace(true);
    }

    /// Appends to its log.
    pub fn write_log(&self, bytes: &[u8]) {
        lock(&self.shared.state).log.extend_from_slice(bytes);
    }

    /// Decides what it uses from now on.
    pub fn set_usage(&self, usage: Usage) {
        lock(&self.shared.state).usage = usage;
    }

    /// The stop signals it got, in order.
    pub fn signals(&self) -> Vec<StopSignal> {
        lock(&self.shared.state).signals.clone()
    }

    fn end(&self, status: ExitStatus, out_of_memory: bool, over_disk_limit: Option<u64>) {
        let Some(world) = self.shared.world.upgrade() else { return };
        let exit = Exit { status, out_of_memory, over_disk_limit, at: world.clock.now() };
        self.shared.exit.send_if_modified(|ended| {
            let first = ended.is_none();
            *ended = ended.or(Some(exit));
            first
        });
    }

    async fn until_exit(&self) -> Exit {
        let mut exit = self.shared.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        match ended {
            Some(exit) => exit,
            // The sender lives in `self`, so it cannot be gone; were it, nothing would ever end.
            None => std::future::pending().await,
        }
    }

    async fn open(&self) -> io::Result<Box<dyn Io>> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let mut listening = self.shared.listening.subscribe();
        tokio::select! {
            biased;
            _ = self.until_exit() => return Err(refused()),
            listens = listening.wait_for(|listens| *listens) => drop(listens.map_err(|_| refused())?),
        }
        let world = self.shared.world.upgrade().ok_or_else(refused)?;
        let (ours, theirs) = tokio::io::duplex(CONNECTION_BUFFER);
        let agent = self.clone();
        tokio::spawn(async move {
            let served = (world.serve)(agent.clone(), theirs);
            tokio::select! {
                () = served => {}
                _ = agent.until_exit() => {}
            }
        });
        Ok(Box::new(ours))
    }
}

impl Sandbox for InMemoryAgent {
    fn folder(&self) -> &Path {
        &self.shared.spec.folder
    }

    fn network(&self) -> NetworkMode {
        self.shared.spec.network
    }

    fn shortfall(&self) -> Shortfall {
        Shortfall::of(&Wall::ALL.into(), self.shared.spec.network)
    }

    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Io>>> {
        Box::pin(self.open())
    }

    fn stop(&self, how: StopSignal) -> io::Result<()> {
        let ignored = {
            let mut state = lock(&self.shared.state);
            state.signals.push(how);
            state.ignores_terminate
        };
        match how {
            StopSignal::Kill => self.exit(KILLED),
            StopSignal::Terminate if !ignored => self.exit(ExitStatus::Code(0)),
            StopSignal::Terminate => {}
        }
        Ok(())
    }

    fn wait(&self) -> BoxFuture<'_, Exit> {
        Box::pin(self.until_exit())
    }

    fn usage(&self) -> io::Result<Usage> {
        match self.exited() {
            Some(_) => Err(io::Error::new(io::ErrorKind::NotFound, "the agent has ended")),
            None => Ok(lock(&self.shared.state).usage),
        }
    }

    fn exec<'a>(&'a self, command: &'a ExecCommand) -> BoxFuture<'a, io::Result<Execution>> {
        Box::pin(async move {
            let ended = || io::Error::new(io::ErrorKind::NotConnected, "the agent has ended");
            let world = self.shared.world.upgrade().ok_or_else(ended)?;
            if self.exited().is_some() {
                return Err(ended());
            }
            let ScriptedCommand { stdout, stderr, status, hang } = lock(&world.run_command)(&command.shell);
            let agent = self.clone();
            let exit = Box::pin(async move {
                if hang {
                    agent.until_exit().await;
                    return Ok(KILLED);
                }
                Ok(status.unwrap_or(ExitStatus::Code(0)))
            });
            Ok(Execution {
                stdout: Box::new(Cursor::new(stdout)),
                stderr: Box::new(Cursor::new(stderr)),
                exit,
            })
        })
    }

    fn log_tail(&self, max_bytes: usize) -> io::Result<Vec<u8>> {
        Ok(crate::log::whole_lines(&lock(&self.shared.state).log, max_bytes).to_vec())
    }
}

impl fmt::Debug for InMemoryAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryAgent")
            .field("folder", &self.shared.spec.folder)
            .field("exited", &self.exited())
            .finish_non_exhaustive()
    }
}
