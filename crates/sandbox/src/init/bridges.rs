//! All the connections that init bridges. However many somebody makes, they take a bounded part of
//! init's descriptors, memory and time.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::time::Duration;

use nix::sys::epoll::EpollFlags;
use nix::sys::resource::{Resource, getrlimit};

use super::allowance::Allowance;
use super::bridge::{Bridge, Ran};
use super::reactor::Token;

/// Connections at once. Each has two descriptors, and buffers.
const MOST: usize = 512;
/// New ones on end, which is more than a host makes: it keeps those that it has.
const NEW_A_SECOND: u32 = 2_000;
/// Until the next try, when there is no room for another.
const NO_ROOM: Duration = Duration::from_millis(50);

/// The connections, by the even one of their tokens.
pub(super) struct Bridges {
    open: HashMap<Token, Bridge>,
    most: usize,
    allowance: Allowance,
    unfinished: Vec<Token>,
}

impl Bridges {
    pub(super) fn new() -> io::Result<Self> {
        let (descriptors, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
        // With few descriptors, half of them are for something else.
        let most = usize::try_from(descriptors / 4).unwrap_or(usize::MAX).min(MOST);
        let allowance = Allowance::new(NEW_A_SECOND, NEW_A_SECOND);
        Ok(Self { open: HashMap::new(), most, allowance, unfinished: Vec::new() })
    }

    /// When to try again, if there is no room for another connection.
    pub(super) fn no_room(&self, now: Duration) -> Option<Duration> {
        (self.open.len() >= self.most).then_some(now + NO_ROOM)
    }

    /// Counts a connection in. When to take the next, if not at once.
    pub(super) fn count_in(&mut self, now: Duration) -> Option<Duration> {
        self.allowance.take(1, now)
    }

    /// Begins with a connection.
    pub(super) fn add(&mut self, token: Token, bridge: Bridge) {
        self.open.insert(token, bridge);
        self.run(token, false);
    }

    /// Whether there is more to move right now.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.unfinished.is_empty()
    }

    /// Moves on what is unfinished.
    pub(super) fn go_on(&mut self) {
        for token in mem::take(&mut self.unfinished) {
            self.run(token, false);
        }
    }

    /// Something happened at a connection. Whether the token was one of these.
    pub(super) fn event(&mut self, token: Token, events: EpollFlags) -> bool {
        let client = token & !1;
        if !self.open.contains_key(&client) {
            return false;
        }
        self.run(client, token == client && events.contains(EpollFlags::EPOLLHUP));
        true
    }

    fn run(&mut self, token: Token, client_left: bool) {
        let Some(bridge) = self.open.get_mut(&token) else { return };
        match if client_left { bridge.client_left() } else { bridge.run() } {
            Ran::Over => drop(self.open.remove(&token)),
            Ran::Unfinished => self.unfinished.push(token),
            Ran::Waiting => {}
        }
    }
}
