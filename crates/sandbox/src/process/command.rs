//! Running a command inside, by asking init.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;

use crate::parcel;
use crate::wire::CommandReply;
use crate::{Execution, ExitStatus};

/// Runs a shell command through the init that listens at `control`. Init kills the command when
/// the connection closes, and the connection belongs to the execution's `exit`.
pub(super) async fn run(control: PathBuf, shell: String) -> io::Result<Execution> {
    let mut control = UnixStream::connect(control).await?;
    let (stdout, theirs) = output()?;
    let (stderr, their_errors) = output()?;
    let length = u32::try_from(shell.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    control.writable().await?;
    control = hand_over(control, length, [theirs, their_errors])?;
    control.write_all(shell.as_bytes()).await?;
    Ok(Execution { stdout: Box::new(stdout), stderr: Box::new(stderr), exit: Box::pin(outcome(control)) })
}

fn output() -> io::Result<(Receiver, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    nix::fcntl::fcntl(read.as_fd(), nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((Receiver::from_owned_fd(read)?, write))
}

// The first bytes on a new connection fit its buffer, so that this does not wait.
fn hand_over(control: UnixStream, length: u32, outputs: [OwnedFd; 2]) -> io::Result<UnixStream> {
    let control: StdUnixStream = control.into_std()?;
    parcel::send(&control, &length.to_le_bytes(), &outputs.each_ref().map(AsFd::as_fd))?;
    UnixStream::from_std(control)
}

async fn outcome(mut control: UnixStream) -> io::Result<ExitStatus> {
    let mut reply = Vec::new();
    control.read_to_end(&mut reply).await?;
    if reply.is_empty() {
        // Init has ended, and with it everything inside.
        return Ok(ExitStatus::Signal(nix::sys::signal::Signal::SIGKILL as i32));
    }
    serde_json::from_slice::<CommandReply>(&reply)?.into_result()
}
