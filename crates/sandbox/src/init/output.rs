//! From the agent's standard output and standard error into its log.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::log::RotatedLog;

/// As much as a pipe holds.
const BYTES_A_TURN: usize = 64 * 1024;

/// The pump between the pipe and the log.
pub(super) struct Output {
    pipe: File,
    log: RotatedLog,
    buffer: Box<[u8]>,
}

/// What a turn of the pump found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Something, and there may be more.
    Some,
    /// Nothing for now.
    Nothing,
    /// Nothing ever again: nobody is left who could write.
    End,
}

impl Output {
    /// Pumps from `pipe`, which must not block.
    pub(super) fn new(pipe: OwnedFd, log: RotatedLog) -> Self {
        Self { pipe: pipe.into(), log, buffer: vec![0; BYTES_A_TURN].into_boxed_slice() }
    }

    /// Moves what one read gives: a flood must not keep init from its other work.
    pub(super) fn pump(&mut self) -> Pumped {
        match self.pipe.read(&mut self.buffer) {
            Ok(0) => Pumped::End,
            Ok(count) => {
                self.log.append(&self.buffer[..count]);
                Pumped::Some
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Pumped::Some,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Pumped::Nothing,
            Err(_) => Pumped::End,
        }
    }

    /// Moves all that is left.
    pub(super) fn drain(&mut self) {
        while self.pump() == Pumped::Some {}
    }

    /// Adds a line of init's own.
    pub(super) fn note(&mut self, line: &str) {
        self.log.append(format!("agentcore: {line}\n").as_bytes());
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
