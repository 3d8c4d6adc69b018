//! The handed-over socket, seen from init.
//!
//! Init does not know beforehand whether the agent will serve it. As long as nobody connects
//! there is nothing to know. Once somebody has, either the connection is taken, which only the
//! agent can have done: then it serves, and init closes its own copy. Or it waits while the agent
//! listens on its TCP port: then init takes it, and bridges from then on. Or neither: then the
//! agent is not up yet, and the connection goes on waiting.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;
use std::{io, mem};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::EpollFlags;

use super::bridge::{Bridge, Ran};
use super::clock::monotonic;
use super::place::Place;
use super::porter::Wanted;
use super::reactor::{DOOR, Reactor, Token};

/// Looks for a listener come no closer together than this, the first after it too: an agent that is
/// up takes its connections well before.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// And no further apart.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Init's copy of the socket, and the connections that it bridges.
pub(super) struct Door {
    state: State,
    place: Place,
    ports: [u16; 2],
    bridges: HashMap<Token, Bridge>,
    unfinished: Vec<Token>,
}

enum State {
    /// Nobody has connected so far.
    Quiet(UnixListener),
    /// A connection waits.
    Knocked { listener: UnixListener, since: Duration, next_look: Duration },
    /// The agent listens on TCP.
    Bridging(UnixListener, SocketAddr),
    /// The agent serves the socket itself.
    Open,
}

impl Door {
    /// Watches `listener` for an agent that may serve one of `ports` of its place instead.
    pub(super) fn new(
        listener: UnixListener,
        place: Place,
        ports: [u16; 2],
        reactor: &Reactor,
    ) -> io::Result<Self> {
        reactor.add(&listener, DOOR, EpollFlags::EPOLLIN)?;
        let state = State::Quiet(listener);
        Ok(Self { state, place, ports, bridges: HashMap::new(), unfinished: Vec::new() })
    }

    /// When to call [`tick`](Self::tick) next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match &self.state {
            _ if !self.unfinished.is_empty() => Some(Duration::ZERO),
            State::Knocked { next_look, .. } => Some(*next_look),
            _ => None,
        }
    }

    /// Somebody is at the socket.
    pub(super) fn knock(&mut self, reactor: &mut Reactor) -> io::Result<()> {
        if let State::Bridging(..) = self.state {
            return self.accept_all(reactor);
        }
        let now = monotonic();
        self.state = match mem::replace(&mut self.state, State::Open) {
            State::Quiet(listener) => {
                // What waits keeps the socket readable; the timer takes over.
                reactor.modify(&listener, DOOR, EpollFlags::empty())?;
                State::Knocked { listener, since: now, next_look: now + SHORTEST_PAUSE }
            }
            state => state,
        };
        Ok(())
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, reactor: &mut Reactor) -> io::Result<()> {
        for token in mem::take(&mut self.unfinished) {
            self.run(token, EpollFlags::empty());
        }
        match self.state {
            State::Knocked { next_look, .. } if next_look <= monotonic() => self.look(reactor),
            _ => Ok(()),
        }
    }

    /// Something happened at a bridged connection. Whether the token was one of those.
    pub(super) fn event(&mut self, token: Token, events: EpollFlags) -> bool {
        let client = token & !1;
        if !self.bridges.contains_key(&client) {
            return false;
        }
        let client_left = token == client && events.contains(EpollFlags::EPOLLHUP);
        self.run(client, if client_left { EpollFlags::EPOLLHUP } else { EpollFlags::empty() });
        true
    }

    fn look(&mut self, reactor: &mut Reactor) -> io::Result<()> {
        let State::Knocked { listener, since, .. } = mem::replace(&mut self.state, State::Open) else {
            return Ok(());
        };
        if !somebody_waits(&listener)? {
            reactor.remove(&listener);
            return Ok(());
        }
        if let Some(address) = self.place.listener(&self.ports) {
            // Only now: the agent shares this flag, and might have served the socket blocking.
            listener.set_nonblocking(true)?;
            reactor.modify(&listener, DOOR, EpollFlags::EPOLLIN)?;
            self.state = State::Bridging(listener, address);
            return self.accept_all(reactor);
        }
        let now = monotonic();
        // In proportion: no start takes more than an eighth longer for being looked at in steps.
        let pause = ((now - since) / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.state = State::Knocked { listener, since, next_look: now + pause };
        Ok(())
    }

    fn accept_all(&mut self, reactor: &mut Reactor) -> io::Result<()> {
        let State::Bridging(listener, address) = &self.state else { return Ok(()) };
        let mut opened = Vec::new();
        while let Ok((client, _)) = listener.accept() {
            let tokens = reactor.next_tokens();
            // A client whose connection cannot be passed on sees it closed.
            let wanted = if address.is_ipv4() { Wanted::Tcp4 } else { Wanted::Tcp6 };
            let agent = self.place.socket(wanted);
            let bridge = agent.and_then(|agent| Bridge::open(client, (agent, *address), reactor, tokens));
            if let Ok(bridge) = bridge {
                opened.push((tokens.0, bridge));
            }
        }
        for (token, bridge) in opened {
            self.bridges.insert(token, bridge);
            self.run(token, EpollFlags::empty());
        }
        Ok(())
    }

    fn run(&mut self, token: Token, events: EpollFlags) {
        let Some(bridge) = self.bridges.get_mut(&token) else { return };
        let ran = if events.contains(EpollFlags::EPOLLHUP) { bridge.client_left() } else { bridge.run() };
        match ran {
            Ran::Over => drop(self.bridges.remove(&token)),
            Ran::Unfinished => self.unfinished.push(token),
            Ran::Waiting => {}
        }
    }
}

fn somebody_waits(listener: &UnixListener) -> io::Result<bool> {
    let mut descriptors = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut descriptors, PollTimeout::ZERO)? > 0)
}
