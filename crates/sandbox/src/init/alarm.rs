//! An end to waits that nobody else may end.

#![allow(unsafe_code, reason = "signal handlers and timers")]

use std::ptr;

use libc::{ITIMER_REAL, itimerval, timeval};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Whatever waits is interrupted after this many microseconds.
const INTERVAL: libc::suseconds_t = 10_000;

/// While this is held, system calls that block are interrupted, again and again.
pub(super) struct Alarm;

impl Alarm {
    pub(super) fn set() -> Result<Self, Errno> {
        let handler = SigHandler::Handler(do_nothing);
        // Without SA_RESTART, so that the call that it interrupts returns.
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing at all, so it may run at any moment.
        unsafe { sigaction(Signal::SIGALRM, &action) }?;
        ring_every(INTERVAL)?;
        Ok(Self)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // One more ring would do no harm.
        let _ = ring_every(0);
    }
}

extern "C" fn do_nothing(_: libc::c_int) {}

fn ring_every(tv_usec: libc::suseconds_t) -> Result<(), Errno> {
    let time = timeval { tv_sec: 0, tv_usec };
    let timer = itimerval { it_interval: time, it_value: time };
    // SAFETY: the kernel reads one timer, which lives through the call, and writes none.
    let set = unsafe { libc::setitimer(ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    Errno::result(set).map(drop)
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use super::*;
    use crate::walls::sys;

    #[test]
    fn a_wait_for_nobody_ends() {
        let (read, _write) = nix::unistd::pipe().unwrap();
        // A process like init: with one thread, the only one that a signal can interrupt.
        // SAFETY: the child makes nothing but system calls, and leaves.
        let child = match unsafe { fork() }.unwrap() {
            ForkResult::Child => sys::leave(match (Alarm::set(), nix::unistd::read(&read, &mut [0])) {
                (Ok(_), Err(Errno::EINTR)) => 0,
                _ => 1,
            }),
            ForkResult::Parent { child } => child,
        };
        assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
    }
}
