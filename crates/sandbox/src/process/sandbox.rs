//! A running process sandbox, as the host holds it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::Signal;
use tokio::sync::watch;

use super::{Context, command, post_mortem, usage};
use crate::folder::{IncarnationFolder, InitRecord};
use crate::init::KILL_SIGNAL;
use crate::pidfd::PidFd;
use crate::{
    BoxFuture, ExecCommand, Execution, Exit, Io, NetworkMode, Sandbox, Shortfall, StopSignal, UnixIo, Usage,
    log,
};

/// One sandbox; its agent runs on when this is dropped.
pub(super) struct ProcessSandbox {
    context: Arc<Context>,
    folder: IncarnationFolder,
    record: Arc<InitRecord>,
    init: Arc<PidFd>,
    exit: watch::Receiver<Option<Exit>>,
}

impl ProcessSandbox {
    /// Watches an init that runs. One small task waits for its end: it costs no thread.
    pub(super) fn watch(
        context: Arc<Context>,
        folder: IncarnationFolder,
        record: InitRecord,
        init: PidFd,
    ) -> io::Result<Arc<Self>> {
        let (init, record) = (Arc::new(init), Arc::new(record));
        let end = Arc::clone(&init).end()?;
        let (ended, exit) = watch::channel(None);
        let watched = Self { context, folder, record, init, exit };
        let (context, folder, record) =
            (Arc::clone(&watched.context), watched.folder.clone(), Arc::clone(&watched.record));
        tokio::spawn(async move {
            end.reached().await;
            let exit = post_mortem::examine(&context, &folder, Some(&record)).await;
            ended.send_replace(exit);
        });
        Ok(Arc::new(watched))
    }
}

impl Sandbox for ProcessSandbox {
    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn network(&self) -> NetworkMode {
        self.record.network
    }

    fn shortfall(&self) -> Shortfall {
        Shortfall::of(&self.record.walls, self.record.network)
    }

    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Io>>> {
        Box::pin(async move { Ok(Box::new(UnixIo::connect(&self.folder.socket())?) as Box<dyn Io>) })
    }

    fn stop(&self, how: StopSignal) -> io::Result<()> {
        self.init.signal(match how {
            StopSignal::Terminate => Signal::SIGTERM,
            StopSignal::Kill => KILL_SIGNAL,
        })
    }

    fn wait(&self) -> BoxFuture<'_, Exit> {
        let mut exit = self.exit.clone();
        Box::pin(async move {
            let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
            match ended {
                Some(exit) => exit,
                // The runtime is shutting down and took the watching task with it.
                None => std::future::pending().await,
            }
        })
    }

    fn usage(&self) -> io::Result<Usage> {
        if self.exit.borrow().is_some() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the agent has ended"));
        }
        usage::below(&self.context.proc, self.record.init_pid, self.record.inner_pid)
    }

    fn exec<'a>(&'a self, command: &'a ExecCommand) -> BoxFuture<'a, io::Result<Execution>> {
        Box::pin(command::run(self.folder.control(), command.shell.clone()))
    }

    fn log_tail(&self, max_bytes: usize) -> io::Result<Vec<u8>> {
        log::tail(&self.folder, max_bytes)
    }
}
