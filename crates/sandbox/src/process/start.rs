//! Starting a sandbox: the lock, then init, then the order.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::nursery::{Newborn, Nursery};
use super::sandbox::ProcessSandbox;
use super::{Context, blocking};
use crate::folder::{IncarnationFolder, InitRecord};
use crate::parcel;
use crate::pidfd::PidFd;
use crate::removal::{remove_file_if_there, remove_tree};
use crate::wire::{Order, Reply, StepError};
use crate::{NetworkMode, Sandbox, SandboxSpec, StartError, StopSignal, Wall};

/// Starts what `spec` describes.
pub(super) async fn start(context: Arc<Context>, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, StartError> {
    let (done, result) = oneshot::channel();
    let spec = spec.clone();
    // A task of its own: a caller who gives up half-way must not leave half a sandbox.
    tokio::spawn(async move {
        let started = start_to_the_end(context, spec).await;
        if let Err(Ok(unwanted)) = done.send(started) {
            // It may have ended by itself, which is as good.
            let _ = unwanted.stop(StopSignal::Kill);
        }
    });
    match result.await {
        Ok(started) => started.map(|sandbox| sandbox as Arc<dyn Sandbox>),
        Err(_) => Err(setup("start the sandbox", io::Error::other("the host is shutting down"))),
    }
}

async fn start_to_the_end(
    context: Arc<Context>,
    spec: SandboxSpec,
) -> Result<Arc<ProcessSandbox>, StartError> {
    let folder = IncarnationFolder::new(&spec.folder);
    let made = folder.clone();
    let existed = blocking(move || make(&made)).await.and_then(|made| made);
    let existed = existed.map_err(|source| setup("make the sandbox's folder", source))?;
    let started = run(&context, &spec, &folder).await;
    if started.is_err() && !existed {
        // The folder is ours, and nothing in it is of use to anyone.
        let _ = blocking(move || remove_tree(folder.path())).await;
    }
    started
}

// What somebody asked for is not left out in silence.
fn check_network(context: &Context, spec: &SandboxSpec) -> Result<(), StartError> {
    if spec.network == NetworkMode::Host || context.options.walls.contains(&Wall::Network) {
        return Ok(());
    }
    let missing = io::Error::other("this machine cannot, as `agentcore doctor` explains");
    Err(setup("give the agent a network of its own", missing))
}

async fn run(
    context: &Arc<Context>,
    spec: &SandboxSpec,
    folder: &IncarnationFolder,
) -> Result<Arc<ProcessSandbox>, StartError> {
    check_network(context, spec)?;
    let order = serde_json::to_vec(&Order::new(spec, &context.options, &context.boot_id));
    let order = order.map_err(|source| setup("put down what to start", source.into()))?;
    let (giving, at, network) = (Arc::clone(context), folder.clone(), spec.network);
    let given = blocking(move || give_order(&giving.nursery, network, order, &at)).await;
    let Ordered { newborn: Newborn { init, host }, rest } =
        given.map_err(|source| setup("start the init process", source))??;
    let conversation = tokio::time::timeout(context.options.start_limit, converse(host, &rest));
    let reply = conversation.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let next = Arc::clone(context);
    tokio::task::spawn_blocking(move || next.nursery.refill());
    match reply {
        Ok(Reply::Started(record)) => {
            ProcessSandbox::watch(Arc::clone(context), folder.clone(), record, init)
                .map_err(|source| setup("watch the init process", source))
        }
        Ok(failed) => {
            until_ended(init).await;
            Err(refusal(failed, spec))
        }
        Err(source) => {
            // Whatever it had begun goes with it.
            let _ = init.signal(nix::sys::signal::Signal::SIGKILL);
            until_ended(init).await;
            Err(setup("hear from the init process", source))
        }
    }
}

/// An init on its way, and what it has not been told yet.
struct Ordered {
    newborn: Newborn,
    rest: Vec<u8>,
}

// Whether the folder was there before.
fn make(folder: &IncarnationFolder) -> io::Result<bool> {
    let existed = folder.path().exists();
    DirBuilder::new().recursive(true).mode(0o700).create(folder.path())?;
    Ok(existed)
}

// The lock is taken here and handed on, so that there is no moment in which init lives without
// it: a host that comes after us cannot take a starting sandbox for a dead one.
fn give_order(
    nursery: &Nursery,
    network: NetworkMode,
    mut order: Vec<u8>,
    folder: &IncarnationFolder,
) -> Result<Ordered, StartError> {
    let lock = take_lock(folder).map_err(|source| setup("lock the sandbox's folder", source))?;
    let newborn = nursery.take(network).map_err(|source| setup("start the init process", source))?;
    let sent = match parcel::send(&newborn.host, &order, &[lock.as_fd()]) {
        // An init that ends early says more by its reply than by a broken pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => order.len(),
        sent => sent.map_err(|source| setup("tell the init process what to start", source))?,
    };
    Ok(Ordered { newborn, rest: order.split_off(sent) })
}

// The lock belongs to the open file, and holds until the last copy of that is closed.
fn take_lock(folder: &IncarnationFolder) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.lock())?;
    file.try_lock()?;
    // What an earlier life in the same folder left behind must not be taken for this one's.
    for record in [folder.init_record(), folder.exit_record()] {
        remove_file_if_there(&record)?;
    }
    Ok(file)
}

async fn converse(host: StdUnixStream, rest: &[u8]) -> io::Result<Reply> {
    let mut host = UnixStream::from_std(host)?;
    // An init that ends early says more by its reply than by a broken pipe.
    let _ = host.write_all(rest).await;
    let _ = host.shutdown().await;
    let mut reply = Vec::new();
    match host.read_to_end(&mut reply).await {
        // It ended without reading the order.
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ if reply.is_empty() => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without a word")),
        _ => Ok(serde_json::from_slice(&reply)?),
    }
}

async fn until_ended(init: PidFd) {
    match Arc::new(init).end() {
        Ok(end) => end.reached().await,
        Err(error) => tracing::warn!(%error, "an init process cannot be waited for"),
    }
}

fn refusal(reply: Reply, spec: &SandboxSpec) -> StartError {
    match reply {
        Reply::ProgramFailed { errno } => {
            let source = explained(io::Error::from_raw_os_error(errno), &spec.program);
            StartError::Program { program: spec.program.clone(), source }
        }
        Reply::SetupFailed(failure) => {
            let StepError { step, source } = failure.into();
            setup(step.as_str(), source)
        }
        Reply::Started(InitRecord { .. }) => setup("start the sandbox", io::ErrorKind::InvalidData.into()),
    }
}

// Two answers of the kernel that say little to whoever sees the program lie there.
fn explained(source: io::Error, program: &Path) -> io::Error {
    let why = match source.raw_os_error() {
        Some(libc::ENOEXEC) => {
            "it is neither a program for this machine nor a script whose first line names an interpreter"
        }
        Some(libc::ENOENT) if program.exists() => {
            "what runs it is not there, or not shown to agents: the interpreter in its first line, or its loader"
        }
        _ => return source,
    };
    io::Error::new(source.kind(), format!("{source}: {why}"))
}

fn setup(step: &'static str, source: io::Error) -> StartError {
    StartError::Setup { step, source }
}
