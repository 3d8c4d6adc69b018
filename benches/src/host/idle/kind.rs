//! Sandboxes that start in no time: their agents are served elsewhere already.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use agentcore_protocol::Clock;
use agentcore_sandbox::{
    Adopted, BoxFuture, ExecCommand, Execution, Exit, ExitStatus, IncarnationFolder, Io, NetworkMode,
    ResourceLimits, Sandbox, SandboxKind, SandboxSpec, Shortfall, StartError, StopSignal, UnixIo, Usage,
};
use tokio::sync::watch;

use super::stubs::socket;

/// Hands out one stub after the other.
pub(super) struct StubKind {
    stubs: PathBuf,
    clock: Arc<dyn Clock>,
    started: AtomicU32,
}

impl StubKind {
    pub(super) fn new(stubs: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { stubs, clock, started: AtomicU32::new(0) }
    }
}

impl SandboxKind for StubKind {
    fn start<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Arc<dyn Sandbox>, StartError>> {
        let socket = socket(&self.stubs, self.started.fetch_add(1, Ordering::Relaxed));
        let (exit, folder) = (watch::Sender::new(None), spec.folder.clone());
        let sandbox: Arc<dyn Sandbox> =
            Arc::new(StubSandbox { folder, socket, clock: Arc::clone(&self.clock), exit });
        // Every real one has it, and the host watches it.
        let journal = IncarnationFolder::new(&spec.folder).journal();
        Box::pin(async move {
            let made = std::fs::create_dir_all(journal);
            made.map_err(|source| StartError::Setup { step: "make the journal's folder", source })?;
            Ok(sandbox)
        })
    }

    fn adopt<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, io::Result<Adopted>> {
        Box::pin(async { Ok(Adopted::Gone) })
    }

    // Nothing runs in one that could reach anything.
    fn has_networks(&self) -> bool {
        true
    }

    fn shortfall(&self, _: NetworkMode, _: &ResourceLimits) -> Shortfall {
        Shortfall::default()
    }
}

struct StubSandbox {
    folder: PathBuf,
    socket: PathBuf,
    clock: Arc<dyn Clock>,
    exit: watch::Sender<Option<Exit>>,
}

impl Sandbox for StubSandbox {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn network(&self) -> NetworkMode {
        NetworkMode::Host
    }

    fn shortfall(&self) -> Shortfall {
        Shortfall::default()
    }

    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Io>>> {
        Box::pin(async { Ok(Box::new(UnixIo::connect(&self.socket)?) as Box<dyn Io>) })
    }

    fn stop(&self, _: StopSignal) -> io::Result<()> {
        let exit = Exit {
            status: ExitStatus::Code(0),
            out_of_memory: false,
            over_disk_limit: None,
            at: self.clock.now(),
        };
        self.exit.send_replace(Some(exit));
        Ok(())
    }

    fn wait(&self) -> BoxFuture<'_, Exit> {
        let mut exit = self.exit.subscribe();
        Box::pin(async move {
            match exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit) {
                Some(exit) => exit,
                None => std::future::pending().await,
            }
        })
    }

    fn usage(&self) -> io::Result<Usage> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn exec<'a>(&'a self, _: &'a ExecCommand) -> BoxFuture<'a, io::Result<Execution>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn log_tail(&self, _: usize) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
}
