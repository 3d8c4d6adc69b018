//! Servers that have processes of their own to end before they are ended.

use std::os::fd::AsFd;
use std::process::ChildStdout;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::children::{Program, Server};

/// How long it may take to end, in milliseconds.
const LONGEST_END: u16 = 20_000;

/// A server that is told to end when this is dropped, and waited for.
pub(super) struct Gentle {
    server: Server,
    /// Ends when the server has, and everything that it started with the same output.
    output: ChildStdout,
}

impl Gentle {
    pub(super) async fn start(program: &Program, port: u16) -> anyhow::Result<Self> {
        let mut server = Server::start(program, port).await?;
        let output = server.output()?;
        Ok(Self { server, output })
    }
}

impl std::ops::Deref for Gentle {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for Gentle {
    fn drop(&mut self) {
        // The server is our child and not waited for, so the number is still its own.
        let _ = kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGTERM);
        let mut output = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
        // If it takes too long it is killed, as every server is that is dropped.
        let _ = poll(&mut output, PollTimeout::from(LONGEST_END));
    }
}
