//! What a sandbox is, of whatever kind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{NetworkMode, Shortfall};

/// Environment variable that every process of a sandbox starts with: the incarnation's folder. By
/// it those are found that were left behind when init was killed.
pub const SANDBOX_VARIABLE: &str = "AGENTCORE_SANDBOX";

/// A future behind a pointer, as object-safe traits return them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    /// The incarnation's own folder. It is made if need be; its path must be short, because the
    /// Unix socket in it may not exceed 107 bytes.
    pub folder: PathBuf,
    /// The agent's program, an absolute path.
    pub program: PathBuf,
    /// The program's arguments.
    pub args: Vec<OsString>,
    /// The folder with the agent's code; its files are to be found in the working folder.
    pub code: PathBuf,
    /// The whole environment, but for what the sandbox itself declares (HOME, TMPDIR, PORT,
    /// LISTEN_FDS and the like).
    pub env: BTreeMap<OsString, OsString>,
    /// What the sandbox may use.
    pub limits: ResourceLimits,
    /// What network the agent has.
    pub network: NetworkMode,
    /// Files and folders that the agent may read, beside its code and what its program needs.
    pub read_only: Vec<PathBuf>,
    /// Whether the variables and the files of the code may have nothing shown but what is in the code, or
    /// seen by every agent: where whoever wrote them is not the operator of this machine.
    pub confined: bool,
}

/// Bounds on what one sandbox may use; `None` is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ResourceLimits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Processors, 1.5 being one and a half.
    pub cpus: Option<f64>,
    /// Bytes of log kept.
    pub log_bytes: Option<u64>,
    /// Bytes of disk that its own folders may take.
    pub disk_bytes: Option<u64>,
}

/// A way to isolate sessions.
pub trait SandboxKind: Send + Sync + 'static {
    /// Starts a sandbox. Returns as soon as the agent's program is started: whether it serves is
    /// for `/ping` to say.
    ///
    /// # Errors
    /// The program cannot be started; nothing of it is left behind.
    fn start<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Arc<dyn Sandbox>, StartError>>;

    /// Finds out what became of the sandbox in `folder`, which an earlier host started or was
    /// about to start.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn adopt<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, io::Result<Adopted>>;

    /// Whether its sandboxes can have networks of their own.
    fn has_networks(&self) -> bool;

    /// What a sandbox with this network and these limits would go without here.
    fn shortfall(&self, network: NetworkMode, limits: &ResourceLimits) -> Shortfall;
}

/// What [`SandboxKind::adopt`] finds.
pub enum Adopted {
    /// It still runs.
    Running(Arc<dyn Sandbox>),
    /// It ran and ended.
    Exited(Exit),
    /// It never got so far, or a reboot took it and its exit with it.
    Gone,
}

/// Why a sandbox cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program is missing or cannot be executed.
    #[error("cannot start {program}: {source}")]
    Program {
        /// The program.
        program: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The sandbox itself cannot be set up.
    #[error("cannot {step}: {source}")]
    Setup {
        /// What was being done, as in "bind the socket".
        step: &'static str,
        /// The reason.
        source: io::Error,
    },
}

/// A byte stream to an agent.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One running, or just ended, sandbox. Dropping it leaves the agent running.
pub trait Sandbox: Send + Sync + 'static {
    /// The incarnation's folder.
    fn folder(&self) -> &Path;

    /// What it reaches of the network.
    fn network(&self) -> NetworkMode;

    /// The walls that do not stand around it.
    fn shortfall(&self) -> Shortfall;

    /// Opens a connection to the agent's server.
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Io>>>;

    /// Asks everything in the sandbox to end, or ends it. A sandbox that has ended already is
    /// none the worse for it.
    ///
    /// # Errors
    /// The signal cannot be sent.
    fn stop(&self, how: StopSignal) -> io::Result<()>;

    /// Waits until the agent's program has ended and nothing it started is left. May be called
    /// any number of times.
    fn wait(&self) -> BoxFuture<'_, Exit>;

    /// What it uses right now.
    ///
    /// # Errors
    /// It has ended, or the kernel does not say.
    fn usage(&self) -> io::Result<Usage>;

    /// Runs a command inside.
    fn exec<'a>(&'a self, command: &'a ExecCommand) -> BoxFuture<'a, io::Result<Execution>>;

    /// The last `max_bytes` of what the agent wrote to standard output and standard error, in
    /// whole lines.
    ///
    /// # Errors
    /// The log cannot be read.
    fn log_tail(&self, max_bytes: usize) -> io::Result<Vec<u8>>;
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM to the agent: finish and leave.
    Terminate,
    /// SIGKILL to every process in the sandbox.
    Kill,
}

/// How an agent's program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// What it said or what struck it.
    pub status: ExitStatus,
    /// It, or something it started, was killed for using too much memory.
    pub out_of_memory: bool,
    /// It was killed because its folders held more than this, in bytes.
    pub over_disk_limit: Option<u64>,
    /// When.
    pub at: Timestamp,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It left with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
}

/// What a sandbox uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, so far.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Processes.
    pub processes: u32,
}

/// A command to run inside a sandbox.
#[derive(Debug, Clone)]
pub struct ExecCommand {
    /// Handed to `/bin/sh -c`.
    pub shell: String,
}

/// A command that runs inside a sandbox. Dropping it kills the command.
pub struct Execution {
    /// What it writes to standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// What it writes to standard error.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// How it ended.
    pub exit: BoxFuture<'static, io::Result<ExitStatus>>,
}
