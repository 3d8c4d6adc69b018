//! Init before it has anything to start.

use std::io;
use std::os::unix::net::UnixStream;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, setsid};

use super::KILL_SIGNAL;
use super::shield::Shield;
use crate::cgroup::{CgroupRoots, Leaf};
use crate::parcel::Parcel;
use crate::proc::Proc;
use crate::walls::Prepared;
use crate::wire::{InStep, Outlook, Step, StepError};

/// An init that has no agent yet.
pub(super) struct Ready {
    pub(super) signals: SignalFd,
    pub(super) roots: CgroupRoots,
    pub(super) cgroups: Leaf,
    pub(super) shield: Option<Shield>,
    pub(super) prepared: Option<Prepared>,
}

impl Ready {
    /// Does all that takes time and is the same for every agent.
    pub(super) fn get(host: &UnixStream, said: &mut Parcel) -> Result<Option<Self>, StepError> {
        let signals = become_init().in_step(Step::BecomeInit)?;
        let Some(outlook) = said.line(host).in_step(Step::ReadOrder)? else { return Ok(None) };
        let Outlook { cgroups: roots, expected } =
            serde_json::from_slice(&outlook).in_step(Step::ReadOrder)?;
        let cgroups = Leaf::reserve(&roots);
        // Where it is not allowed, init may be taken for what uses the memory, and its agent ends with it.
        let shield = if cgroups.shares_memory() { Shield::take_up().ok() } else { None };
        // Whoever waits already would wait longer. What fails is tried again, and told.
        let expected = expected.filter(|_| !said.has_come(host));
        let prepared = expected.and_then(|expected| Prepared::make(expected).ok().flatten());
        Ok(Some(Self { signals, roots, cgroups, shield, prepared }))
    }

    /// Undoes what has been done. Groups can be removed when nobody is left in them.
    pub(super) fn leave(self) {
        kill_descendants();
        while waitpid(None, None).is_ok() {}
        self.cgroups.leave();
    }
}

/// Kills all that was started.
pub(super) fn kill_descendants() {
    for pid in Proc::default().descendants(std::process::id().cast_signed()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn become_init() -> io::Result<SignalFd> {
    // The whole sandbox is one session, away from the host's terminal. One, because each costs some
    // milliseconds where the scheduler groups by session (CONFIG_SCHED_AUTOGROUP).
    setsid()?;
    set_child_subreaper(true)?;
    let mut watched = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, KILL_SIGNAL] {
        watched.add(signal);
    }
    let mut blocked = watched;
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP] {
        blocked.add(signal);
    }
    // Only the host ends a sandbox, and only by the signals above.
    blocked.thread_block()?;
    Ok(SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}
