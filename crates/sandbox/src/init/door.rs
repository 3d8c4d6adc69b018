//! The handed-over socket, seen from init.
//!
//! Init does not know beforehand whether the agent will serve it. As long as nobody connects
//! there is nothing to know. Once somebody has, either the connection is taken, which only the
//! agent can have done: then it serves, and init closes its own copy. Or it waits while the agent
//! listens on its TCP port: then init takes it, and bridges from then on. Or neither: then the
//! agent is not up yet, and the connection goes on waiting.
//!
//! The agent has the socket too. What it changes about it, or shuts down, must not keep init busy or
//! waiting.

#![allow(unsafe_code, reason = "descriptors that are accepted are numbers at first")]

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;
use std::{io, mem};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{SockFlag, accept4};

use super::alarm::Alarm;
use super::bridge::Bridge;
use super::bridges::Bridges;
use super::clock::monotonic;
use super::place::Place;
use super::porter::Wanted;
use super::reactor::{DOOR, Reactor, Token};

/// Looks for a listener come no closer together than this, the first after it too: an agent that is
/// up takes its connections well before.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// And no further apart.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How many connections are taken before init turns to its other work.
const TAKEN_A_TURN: usize = 64;

/// Init's copy of the socket, and the connections that it bridges.
pub(super) struct Door {
    state: State,
    place: Place,
    ports: [u16; 2],
    bridges: Bridges,
    /// When to take connections again, if not now.
    resumes: Option<Duration>,
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
        let (state, bridges) = (State::Quiet(listener), Bridges::new()?);
        Ok(Self { state, place, ports, bridges, resumes: None })
    }

    /// When to call [`tick`](Self::tick) next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match &self.state {
            _ if self.bridges.is_unfinished() => Some(Duration::ZERO),
            State::Knocked { next_look, .. } => Some(*next_look),
            _ => self.resumes,
        }
    }

    /// Somebody is at the socket.
    pub(super) fn knock(&mut self, events: EpollFlags, reactor: &mut Reactor) -> io::Result<()> {
        if events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            return Err(self.give_up(reactor));
        }
        if let State::Bridging(..) = self.state {
            return self.accept_some(reactor);
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
        self.bridges.go_on();
        let now = monotonic();
        match &self.state {
            State::Knocked { next_look, .. } if *next_look <= now => self.look(reactor),
            State::Bridging(listener, _) if self.resumes.is_some_and(|due| due <= now) => {
                self.resumes = None;
                reactor.modify(listener, DOOR, EpollFlags::EPOLLIN)
            }
            _ => Ok(()),
        }
    }

    /// Something happened at a bridged connection. Whether the token was one of those.
    pub(super) fn event(&mut self, token: Token, events: EpollFlags) -> bool {
        self.bridges.event(token, events)
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
            reactor.modify(&listener, DOOR, EpollFlags::EPOLLIN)?;
            self.state = State::Bridging(listener, address);
            return self.accept_some(reactor);
        }
        let now = monotonic();
        // In proportion: no start takes more than an eighth longer for being looked at in steps.
        let pause = ((now - since) / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.state = State::Knocked { listener, since, next_look: now + pause };
        Ok(())
    }

    // The agent has shut the socket down: nobody can connect any more, and it would never be quiet.
    fn give_up(&mut self, reactor: &Reactor) -> io::Error {
        match mem::replace(&mut self.state, State::Open) {
            State::Quiet(listener) | State::Knocked { listener, .. } | State::Bridging(listener, _) => {
                reactor.remove(&listener);
            }
            State::Open => {}
        }
        self.resumes = None;
        io::Error::other("it has shut down the socket that it was handed")
    }

    fn accept_some(&mut self, reactor: &mut Reactor) -> io::Result<()> {
        let State::Bridging(listener, address) = &self.state else { return Ok(()) };
        for _ in 0..TAKEN_A_TURN {
            let now = monotonic();
            self.resumes = self.bridges.no_room(now);
            if self.resumes.is_none() {
                match accept(listener) {
                    Ok(client) => {
                        self.resumes = self.bridges.count_in(now);
                        bridge(client, *address, &mut self.place, &mut self.bridges, reactor);
                    }
                    Err(Errno::EWOULDBLOCK | Errno::EINTR) => break,
                    // There is no descriptor left, for instance.
                    Err(_) => self.resumes = Some(now + LONGEST_PAUSE),
                }
            }
            if self.resumes.is_some() {
                // Those who wait keep the socket readable; the timer takes over.
                return reactor.modify(listener, DOOR, EpollFlags::empty());
            }
        }
        Ok(())
    }
}

// A client whose connection cannot be passed on sees it closed.
fn bridge(
    client: UnixStream,
    address: SocketAddr,
    place: &mut Place,
    bridges: &mut Bridges,
    reactor: &mut Reactor,
) {
    let wanted = if address.is_ipv4() { Wanted::Tcp4 } else { Wanted::Tcp6 };
    let tokens = reactor.next_tokens();
    let made = place.socket(wanted).and_then(|agent| Bridge::open(client, (agent, address), reactor, tokens));
    if let Ok(bridge) = made {
        bridges.add(tokens.0, bridge);
    }
}

// Whether this blocks is up to the agent too, which shares the flag. So it is set only now, for the
// agent might have served the socket blocking, and an alarm ends the wait if it did not help.
fn accept(listener: &UnixListener) -> Result<UnixStream, Errno> {
    let _alarm = Alarm::set()?;
    let _ = listener.set_nonblocking(true);
    let client = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { UnixStream::from_raw_fd(client) })
}

fn somebody_waits(listener: &UnixListener) -> io::Result<bool> {
    let mut descriptors = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut descriptors, PollTimeout::ZERO)? > 0)
}
