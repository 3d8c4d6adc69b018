//! Keeping the session from addresses that this machine gets while it runs, where only the filter in
//! the session's own network does.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::epoll::EpollFlags;

use super::reactor::{ADDRESSES, Reactor};
use crate::walls::Enclosure;
use crate::walls::network::AddressWatch;

/// Until the next try, when an address could not be closed.
const AGAIN: Duration = Duration::from_secs(1);

/// The session's filter, kept up to date. Without a watch there is nothing to do.
pub(super) struct Addresses {
    watch: Option<(AddressWatch, Rc<Enclosure>)>,
    next_look: Option<Duration>,
}

impl Addresses {
    /// Begins with a look, for what has changed since the session's network was made.
    pub(super) fn new(enclosure: Option<&Rc<Enclosure>>, reactor: &Reactor) -> io::Result<Self> {
        let watch = match enclosure {
            Some(enclosure) => enclosure.watch_addresses()?.map(|watch| (watch, Rc::clone(enclosure))),
            None => None,
        };
        if let Some((watch, _)) = &watch {
            reactor.add(watch, ADDRESSES, EpollFlags::EPOLLIN)?;
        }
        let next_look = watch.is_some().then_some(Duration::ZERO);
        Ok(Self { watch, next_look })
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.next_look
    }

    /// Something has changed.
    pub(super) fn heard(&mut self) {
        if let Some((watch, _)) = &self.watch {
            watch.take();
            self.next_look = Some(Duration::ZERO);
        }
    }

    /// Looks, if it is time to, and closes what is new.
    pub(super) fn tick(&mut self, now: Duration) -> io::Result<()> {
        if self.next_look.is_none_or(|due| due > now) {
            return Ok(());
        }
        // Until this has gone well.
        self.next_look = Some(now + AGAIN);
        if let Some((watch, enclosure)) = &mut self.watch
            && let Some(all) = watch.unknown()?
        {
            enclosure.close_addresses(&all)?;
            watch.know(all);
        }
        self.next_look = None;
        Ok(())
    }
}
