//! A process by descriptor: unlike its number, it never comes to mean another process.

#![allow(unsafe_code, reason = "nix has no pidfd_open and no pidfd_send_signal")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A handle on one process.
#[derive(Debug)]
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// A handle on the process that has this number now.
    pub(crate) fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor (close-on-exec) or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = Errno::result(fd)?;
        // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Sends a signal. A process that has ended is none the worse for it.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let no_info: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: a null siginfo is allowed and makes this the same as kill(2).
        let sent = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal as i32, no_info, 0)
        };
        match Errno::result(sent) {
            Ok(_) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What waits for its end.
    pub(crate) fn end(self: Arc<Self>) -> io::Result<End> {
        // SAFETY: the descriptor is owned by the `PidFd`, which never replaces it, and the `Arc`
        // keeps that alive for as long as the `AsyncFd`.
        let registered = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        Ok(End(registered?))
    }

    /// Whether it has ended, if it is a child of ours; its status is taken then.
    pub(crate) fn has_ended(&self) -> bool {
        self.reap().is_some()
    }

    // Takes its exit status from the kernel if it has ended and is a child of ours.
    fn reap(&self) -> Option<WaitStatus> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        waitid(Id::PIDFd(self.0.as_fd()), flags).ok().filter(|status| *status != WaitStatus::StillAlive)
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits for the end of a process without a thread.
pub(crate) struct End(AsyncFd<Arc<PidFd>>);

impl End {
    /// Waits until the process has ended, and reaps it if it is a child.
    pub(crate) async fn reached(self) {
        if let Err(error) = self.0.readable().await {
            tracing::warn!(%error, "a process cannot be waited for");
        }
        let _ = self.0.get_ref().reap();
    }
}
