//! From the agent's standard output and standard error into its log.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::epoll::EpollFlags;

use super::allowance::Allowance;
use super::reactor::{OUTPUT, Reactor};
use crate::log::RotatedLog;

/// As much as a pipe holds.
const BYTES_A_TURN: usize = 64 * 1024;
/// More than anybody has to say, and nothing to a disk.
const BYTES_A_SECOND: u32 = 8 << 20;
/// What may be said at once: a log is read, or thrown away, before it is as long.
const BURST: u32 = 32 << 20;
/// A turn counts as this many bytes at least: many small ones must not cost more than few large ones.
const LEAST_A_TURN: usize = 4 << 10;

/// The pump between the pipe and the log. It is not quicker than an agent may fill logs: then the
/// agent waits, as for anybody who reads slowly.
pub(super) struct Output {
    pipe: File,
    log: RotatedLog,
    buffer: Box<[u8]>,
    allowance: Allowance,
    /// When to pump again, if not now.
    resumes: Option<Duration>,
    has_rested: bool,
}

/// What a turn of the pump found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pumped {
    /// This many bytes, and there may be more.
    Some(usize),
    /// Nothing for now.
    Nothing,
    /// Nothing ever again: nobody is left who could write.
    End,
}

impl Output {
    /// Pumps from `pipe`, which must not block.
    pub(super) fn new(pipe: OwnedFd, log: RotatedLog) -> Self {
        let buffer = vec![0; BYTES_A_TURN].into_boxed_slice();
        let allowance = Allowance::new(BYTES_A_SECOND, BURST);
        Self { pipe: pipe.into(), log, buffer, allowance, resumes: None, has_rested: false }
    }

    /// Begins to watch the pipe.
    pub(super) fn watch(&self, reactor: &Reactor) -> io::Result<()> {
        reactor.add(&self.pipe, OUTPUT, EpollFlags::EPOLLIN)
    }

    /// When to call [`tick`](Self::tick).
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.resumes
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, reactor: &Reactor, now: Duration) -> io::Result<()> {
        if self.resumes.is_none_or(|due| due > now) {
            return Ok(());
        }
        self.resumes = None;
        self.watch(reactor)
    }

    /// Something is in the pipe, or its end. Moves what one read gives: a flood must not keep init
    /// from its other work.
    pub(super) fn event(&mut self, reactor: &Reactor, now: Duration) {
        match self.pump() {
            Pumped::Some(count) => {
                self.resumes = self.allowance.take(count.max(LEAST_A_TURN), now);
                if self.resumes.is_some() {
                    self.rest(reactor);
                }
            }
            Pumped::Nothing => {}
            // Every writer has closed it; only the agent's end matters now.
            Pumped::End => reactor.remove(&self.pipe),
        }
    }

    // Not watched at all: that there are no writers is told to whoever watches, whatever for.
    fn rest(&mut self, reactor: &Reactor) {
        reactor.remove(&self.pipe);
        if !std::mem::replace(&mut self.has_rested, true) {
            self.note("the agent fills its log faster than it is read: it waits at times");
        }
    }

    fn pump(&mut self) -> Pumped {
        match self.pipe.read(&mut self.buffer) {
            Ok(0) => Pumped::End,
            Ok(count) => {
                self.log.append(&self.buffer[..count]);
                Pumped::Some(count)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Pumped::Some(0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Pumped::Nothing,
            Err(_) => Pumped::End,
        }
    }

    /// Moves all that is left.
    pub(super) fn drain(&mut self) {
        while matches!(self.pump(), Pumped::Some(_)) {}
    }

    /// Adds a line of init's own.
    pub(super) fn note(&mut self, line: &str) {
        self.log.append(format!("agentcore: {line}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::IncarnationFolder;

    #[test]
    fn a_flood_is_read_as_fast_as_logs_may_be_filled() {
        let folder = tempfile::tempdir().unwrap();
        let log = RotatedLog::open(&IncarnationFolder::new(folder.path()), None).unwrap();
        let (pipe, flood) = nix::unistd::pipe().unwrap();
        let (mut output, reactor) = (Output::new(pipe, log), Reactor::new().unwrap());
        output.watch(&reactor).unwrap();
        let (mut flood, mut now, mut read) = (File::from(flood), Duration::ZERO, 0);
        while now < Duration::from_secs(4) {
            std::io::Write::write_all(&mut flood, &[b'x'; 4 << 10]).unwrap();
            assert_eq!(reactor.wait(Some(Duration::ZERO)).unwrap().len(), 1);
            output.event(&reactor, now);
            read += 4 << 10;
            if let Some(resumes) = output.deadline() {
                // Nothing wakes init for it meanwhile.
                std::io::Write::write_all(&mut flood, b"x").unwrap();
                assert!(reactor.wait(Some(Duration::ZERO)).unwrap().is_empty());
                now = resumes;
                output.tick(&reactor, now).unwrap();
            }
        }
        assert!((62 << 20..66 << 20).contains(&read), "{read}");
        assert!(output.has_rested);
    }
}
