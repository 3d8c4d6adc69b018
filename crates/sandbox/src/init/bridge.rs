//! One connection between a client of the handed-over socket and an agent that listens on TCP.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{SockaddrStorage, connect};

use super::flow::{Flow, Turn};
use super::reactor::{Reactor, Token};

/// Turns before other connections get theirs.
const TURNS_A_RUN: usize = 16;

/// A connection, copied in both directions at once.
pub(super) struct Bridge {
    client: UnixStream,
    agent: TcpStream,
    towards_agent: Flow,
    towards_client: Flow,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// There may be more to move right now.
    Unfinished,
    /// The next event will tell.
    Waiting,
    /// The connection is over.
    Over,
}

impl Bridge {
    /// Connects a client to the agent, by a socket that does not wait, and watches both sides under
    /// these tokens.
    pub(super) fn open(
        client: UnixStream,
        (agent, address): (OwnedFd, SocketAddr),
        reactor: &Reactor,
        (client_token, agent_token): (Token, Token),
    ) -> io::Result<Self> {
        client.set_nonblocking(true)?;
        let agent = begin_connecting(agent, address)?;
        // Interactive traffic in small pieces must not wait for acknowledgements.
        agent.set_nodelay(true)?;
        let interest =
            EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        reactor.add(&client, client_token, interest)?;
        reactor.add(&agent, agent_token, interest)?;
        Ok(Self { client, agent, towards_agent: Flow::new(), towards_client: Flow::new() })
    }

    /// Moves what can be moved.
    pub(super) fn run(&mut self) -> Ran {
        for _ in 0..TURNS_A_RUN {
            match self.turn() {
                Err(_) => return Ran::Over,
                Ok(_) if self.towards_agent.closed() && self.towards_client.closed() => return Ran::Over,
                Ok(Turn::Stuck) => return Ran::Waiting,
                Ok(Turn::Moved) => {}
            }
        }
        Ran::Unfinished
    }

    /// The client has gone altogether, not just stopped sending. The agent is to know it as soon
    /// as it has all that the client sent.
    pub(super) fn client_left(&mut self) -> Ran {
        match self.run() {
            Ran::Waiting if self.towards_agent.empty() => Ran::Over,
            ran => ran,
        }
    }

    fn turn(&mut self) -> io::Result<Turn> {
        let towards_agent = self.towards_agent.turn(&mut self.client, &mut self.agent)?;
        let towards_client = self.towards_client.turn(&mut self.agent, &mut self.client)?;
        let stuck = towards_agent == Turn::Stuck && towards_client == Turn::Stuck;
        Ok(if stuck { Turn::Stuck } else { Turn::Moved })
    }
}

// std's connect would wait, and init has other things to do.
fn begin_connecting(agent: OwnedFd, address: SocketAddr) -> io::Result<TcpStream> {
    match connect(agent.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(agent.into()),
        Err(error) => Err(error.into()),
    }
}
