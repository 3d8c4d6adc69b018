//! The loop: init's life while the agent lives, and the end of both.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use agentcore_protocol::{Clock, SystemClock};
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::KILL_SIGNAL;
use super::addresses::Addresses;
use super::clock::monotonic;
use super::control::Control;
use super::disk::{DiskWatch, Found};
use super::door::Door;
use super::output::Output;
use super::port::ClaimedPort;
use super::reactor::{ADDRESSES, CONTROL, DOOR, OUTPUT, Reactor, SIGNALS, Token};
use crate::cgroup::Leaf;
use crate::folder::{ExitRecord, IncarnationFolder, write_record};
use crate::proc::Proc;
use crate::{Exit, ExitStatus};

/// Between two rounds of killing what is left.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// Init, once the agent runs.
pub(super) struct Supervisor {
    pub(super) folder: IncarnationFolder,
    pub(super) boot_id: String,
    pub(super) agent: Pid,
    pub(super) cgroups: Leaf,
    pub(super) reactor: Reactor,
    pub(super) signals: SignalFd,
    pub(super) output: Output,
    pub(super) door: Door,
    pub(super) control: Control,
    pub(super) disk: DiskWatch,
    pub(super) addresses: Addresses,
    /// How the agent ended, once it has.
    pub(super) ended: Option<ExitStatus>,
    /// Nothing is left of what it started either.
    pub(super) nothing_left: bool,
    /// When to kill what is left, again, once that has begun.
    pub(super) next_kill: Option<Duration>,
    pub(super) _lock: OwnedFd,
    pub(super) _port: ClaimedPort,
}

impl Supervisor {
    /// Runs until nothing is left of the agent.
    pub(super) fn run(mut self) -> ExitCode {
        loop {
            let events = match self.reactor.wait(self.timeout()) {
                Ok(events) => events,
                Err(error) => {
                    // Without events nothing can be looked after: end it rather than lose it.
                    self.output.note(&format!("the sandbox's init cannot go on: {error}"));
                    return ExitCode::FAILURE;
                }
            };
            for (token, flags) in events {
                self.dispatch(token, flags);
            }
            self.tick();
            if self.nothing_left {
                return self.finish();
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let all = [
            self.door.deadline(),
            self.output.deadline(),
            self.disk.deadline(),
            self.addresses.deadline(),
            self.next_kill,
        ];
        let deadline = all.into_iter().flatten().min()?;
        Some(deadline.saturating_sub(monotonic()))
    }

    fn dispatch(&mut self, token: Token, events: EpollFlags) {
        match token {
            SIGNALS => self.take_signals(),
            OUTPUT => self.output.event(&self.reactor, monotonic()),
            DOOR => self.note_failure(|init| init.door.knock(events, &mut init.reactor)),
            ADDRESSES => self.addresses.heard(),
            CONTROL => self.control.accept_all(&mut self.reactor),
            token if self.door.event(token, events) => {}
            token => self.control.event(token, events, &self.reactor),
        }
    }

    fn tick(&mut self) {
        self.note_failure(|init| init.door.tick(&mut init.reactor));
        if let Err(error) = self.output.tick(&self.reactor, monotonic()) {
            self.output.note(&format!("no more of what the agent says can be read: {error}"));
        }
        if let Err(error) = self.addresses.tick(monotonic()) {
            self.output.note(&format!("an address that this machine has got is still open: {error}"));
        }
        if self.disk.tick(monotonic) == Found::TooMuch {
            self.output.note(&self.disk.notice());
            // At once: whoever is asked to leave may go on writing.
            self.kill_all();
        }
        let due = match self.next_kill {
            Some(due) => due <= monotonic(),
            // The agent's end is the end of all that it leaves behind.
            None => self.ended.is_some(),
        };
        if due && !self.nothing_left {
            self.kill_all();
            self.reap();
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match Signal::try_from(signal.ssi_signo.cast_signed()) {
                Ok(Signal::SIGTERM) => self.terminate(),
                Ok(KILL_SIGNAL) => self.kill_all(),
                _ => self.reap(),
            }
        }
    }

    fn terminate(&self) {
        if self.ended.is_none() {
            // It is not reaped yet, so the number is still its own.
            let _ = kill(self.agent, Signal::SIGTERM);
        }
    }

    // Kills every descendant there is now. Their own children become init's, so that repeating
    // this leaves none.
    fn kill_all(&mut self) {
        self.next_kill = Some(monotonic() + KILL_AGAIN);
        self.cgroups.kill();
        for pid in Proc::default().descendants(std::process::id().cast_signed()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    // Asks the kernel about ended children; it knows best when there are none at all.
    fn reap(&mut self) {
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, ExitStatus::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, ExitStatus::Signal(signal as i32)),
                Err(Errno::ECHILD) => return self.nothing_left = self.ended.is_some(),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            if pid == self.agent {
                self.ended = Some(status);
            } else {
                self.control.ended(pid, status.into());
            }
        }
    }

    fn finish(mut self) -> ExitCode {
        self.output.drain();
        let out_of_memory = self.cgroups.ran_out_of_memory();
        // Where init is in them itself they stay, and the host removes them.
        self.cgroups.remove();
        for socket in [self.folder.socket(), self.folder.control()] {
            // It is of no use any more, but does no harm either.
            let _ = fs::remove_file(socket);
        }
        let status = self.ended.unwrap_or(ExitStatus::Signal(Signal::SIGKILL as i32));
        let exit =
            Exit { status, out_of_memory, over_disk_limit: self.disk.exceeded(), at: SystemClock.now() };
        match write_record(&self.folder.exit_record(), &ExitRecord::new(exit, &self.boot_id)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                self.output.note(&format!("how the agent ended cannot be written down: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    fn note_failure(&mut self, act: impl FnOnce(&mut Self) -> std::io::Result<()>) {
        if let Err(error) = act(self) {
            self.output.note(&format!("connections cannot be passed on to the agent: {error}"));
        }
    }
}
