//! Processes of this machine as sandboxes.
//!
//! Each agent runs under a small [`init`](crate::init) of its own, so that it outlives the host
//! process, and the incarnation's folder is all that a later host needs to find it again.

mod adopt;
mod command;
mod nursery;
mod post_mortem;
mod probe;
mod sandbox;
mod start;
mod usage;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::Clock;
use nursery::Nursery;

use crate::cgroup::CgroupRoots;
use crate::proc::Proc;
use crate::walls::{Wall, WallReport, Walls};
use crate::{
    Adopted, BoxFuture, EnforceableLimits, NetworkMode, ResourceLimits, Sandbox, SandboxKind, SandboxSpec,
    Shortfall, StartError,
};

/// How [`ProcessKind`] starts sandboxes.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// The program that calls [`init::run`](crate::init::run), and its arguments, such as the host's
    /// own program and a hidden subcommand.
    pub init: Vec<OsString>,
    /// Whether an init is kept that only waits for its agent, so that a start takes some ten
    /// milliseconds less. It is another process of this one, idle, and ends with it.
    pub one_init_ready: bool,
    /// The network that the first session is expected to ask for, so that it is ready too: walls are
    /// put up beforehand as far as they are the same for all. From then on it is what the last one
    /// asked for. Without it, nothing of the machine's is touched before there is a session.
    pub first_network: Option<NetworkMode>,
    /// Below which control groups limits are enforced.
    pub cgroups: CgroupRoots,
    /// The walls to put up around each sandbox. Only those that [`probe`](Self::probe) finds
    /// standing can be.
    pub walls: Walls,
    /// What no agent sees though it lies in a folder that it may read, such as the host's state.
    pub hidden: Vec<PathBuf>,
    /// How long a start may take, init's own work and the start of the program.
    pub start_limit: Duration,
}

impl ProcessOptions {
    /// Options with this init, the control groups of this process, no walls, and ten seconds for a
    /// start.
    pub fn new(init: Vec<OsString>) -> Self {
        Self {
            init,
            one_init_ready: false,
            first_network: None,
            cgroups: CgroupRoots::discover(),
            walls: Walls::new(),
            hidden: Vec::new(),
            start_limit: Duration::from_secs(10),
        }
    }

    /// Finds out which walls stand on this machine, by having init put them up for nothing.
    ///
    /// # Errors
    /// Init cannot be run.
    pub fn probe(&self) -> io::Result<WallReport> {
        probe::run(&self.init)
    }
}

/// The kind of sandbox that is a process, with all its descendants.
pub struct ProcessKind {
    context: Arc<Context>,
}

/// What every sandbox of the kind shares.
struct Context {
    nursery: Nursery,
    options: ProcessOptions,
    clock: Arc<dyn Clock>,
    proc: Proc,
    boot_id: String,
}

impl ProcessKind {
    /// A kind that starts sandboxes as `options` say.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn new(options: ProcessOptions, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::with_proc(options, clock, Path::new("/proc"))
    }

    /// The same, with `/proc` elsewhere: tests fake a reboot by it.
    ///
    /// # Errors
    /// There is no boot id in it.
    pub fn with_proc(options: ProcessOptions, clock: Arc<dyn Clock>, proc_root: &Path) -> io::Result<Self> {
        let proc = Proc::new(proc_root);
        let boot_id = proc.boot_id()?;
        let nursery = Nursery::new(&options);
        Ok(Self { context: Arc::new(Context { nursery, options, clock, proc, boot_id }) })
    }

    /// Which limits of a [`SandboxSpec`] are enforced on this machine.
    pub fn enforceable_limits(&self) -> EnforceableLimits {
        self.context.options.cgroups.enforceable()
    }
}

impl SandboxKind for ProcessKind {
    fn start<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Arc<dyn Sandbox>, StartError>> {
        Box::pin(start::start(Arc::clone(&self.context), spec))
    }

    fn adopt<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, io::Result<Adopted>> {
        Box::pin(adopt::adopt(&self.context, folder))
    }

    fn has_networks(&self) -> bool {
        self.context.options.walls.contains(&Wall::Network)
    }

    fn shortfall(&self, network: NetworkMode, limits: &ResourceLimits) -> Shortfall {
        Shortfall::of(&self.context.options.walls, network).with_limits(limits, self.enforceable_limits())
    }
}

impl fmt::Debug for ProcessKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessKind").field("options", &self.context.options).finish_non_exhaustive()
    }
}

/// Runs what may block on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
