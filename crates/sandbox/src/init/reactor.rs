//! Waiting for many descriptors at once.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Names what a descriptor belongs to.
pub(super) type Token = u64;

/// Descriptors with fixed tokens.
pub(super) const SIGNALS: Token = 0;
pub(super) const OUTPUT: Token = 1;
pub(super) const DOOR: Token = 2;
pub(super) const CONTROL: Token = 3;
pub(super) const ADDRESSES: Token = 4;
/// The first token that [`Reactor::next_tokens`] gives out.
const FIRST_FREE: Token = 16;

/// How many events one turn takes.
const EVENTS_A_TURN: usize = 64;

/// An epoll instance.
pub(super) struct Reactor {
    epoll: Epoll,
    next: Token,
}

impl Reactor {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, next: FIRST_FREE })
    }

    /// Two fresh tokens, the even one first.
    pub(super) fn next_tokens(&mut self) -> (Token, Token) {
        self.next += 2;
        (self.next - 2, self.next - 1)
    }

    pub(super) fn add(&self, fd: impl AsFd, token: Token, interest: EpollFlags) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(interest, token))?)
    }

    pub(super) fn modify(&self, fd: impl AsFd, token: Token, interest: EpollFlags) -> io::Result<()> {
        Ok(self.epoll.modify(fd, &mut EpollEvent::new(interest, token))?)
    }

    pub(super) fn remove(&self, fd: impl AsFd) {
        // It may have gone already, together with its descriptor.
        let _ = self.epoll.delete(fd);
    }

    /// Waits until something happens or the time is over.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<(Token, EpollFlags)>> {
        let mut events = [EpollEvent::empty(); EVENTS_A_TURN];
        let count = match self.epoll.wait(&mut events, whole_millis(timeout)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(events[..count].iter().map(|event| (event.data(), event.events())).collect())
    }
}

// Rounded up: a timer that fires early would only be waited for again.
fn whole_millis(timeout: Option<Duration>) -> EpollTimeout {
    let Some(timeout) = timeout else { return EpollTimeout::NONE };
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(EpollTimeout::NONE)
}
