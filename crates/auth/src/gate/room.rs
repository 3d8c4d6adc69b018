//! Room for bodies that are held, and who takes how much of it before their signature is known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one permit stands for.
const UNIT: usize = 1024;

/// Where a body comes from, as far as the host knows.
pub(super) type From = Option<IpAddr>;

/// Room for bodies of everybody. One address takes no more than a share of it with bodies whose
/// signature is not known: a key's id is no secret, so anybody can send what looks signed.
pub(super) struct Room {
    free: Arc<Semaphore>,
    share: usize,
    unverified: Mutex<HashMap<From, usize>>,
}

impl Room {
    /// Room for so many bytes, half of it for one address, or as much as one body may have.
    pub(super) fn new(bytes: usize, largest: usize) -> Arc<Self> {
        let units = (bytes / UNIT).max(1);
        let share = (units / 2).max(largest.div_ceil(UNIT));
        Arc::new(Self { free: Arc::new(Semaphore::new(units)), share, unverified: Mutex::default() })
    }

    /// A place in it for one body, of no size yet.
    pub(super) fn place(self: &Arc<Self>, from: From) -> Place {
        Place { room: self.clone(), from: from.map(network), unverified: 0, taken: None }
    }
}

/// What one body takes of a room, until it is dropped.
pub(super) struct Place {
    room: Arc<Room>,
    from: From,
    unverified: usize,
    taken: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Takes room for more bytes, if there is. Whoever waited here would hold what others wait for.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let units = bytes.div_ceil(UNIT);
        let mut unverified = self.room.unverified.lock().unwrap_or_else(PoisonError::into_inner);
        let has = unverified.get(&self.from).copied().unwrap_or_default();
        let Some(more) = u32::try_from(units)
            .ok()
            .filter(|_| has + units <= self.room.share)
            .and_then(|units| self.room.free.clone().try_acquire_many_owned(units).ok())
        else {
            return false;
        };
        unverified.insert(self.from, has + units);
        self.unverified += units;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            none => *none = Some(more),
        }
        true
    }

    /// Its signature is right: from now on it is nobody's share.
    pub(super) fn verified(&mut self) {
        let units = std::mem::take(&mut self.unverified);
        if units == 0 {
            return;
        }
        let mut unverified = self.room.unverified.lock().unwrap_or_else(PoisonError::into_inner);
        let left = unverified.get(&self.from).map_or(0, |has| has.saturating_sub(units));
        if left == 0 {
            unverified.remove(&self.from);
        } else {
            unverified.insert(self.from, left);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.verified();
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("taken", &self.taken).finish_non_exhaustive()
    }
}

/// One machine has all addresses of a network of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> From {
        address.parse().ok()
    }

    #[test]
    fn one_address_takes_half_until_its_signatures_are_known() {
        let room = Room::new(8 * UNIT, UNIT);
        let mut strangers = room.place(from("192.0.2.1"));
        assert!(strangers.grow(4 * UNIT) && !strangers.grow(1));
        let mut others = room.place(from("192.0.2.2"));
        assert!(others.grow(UNIT), "another address has room");
        others.verified();
        assert!(others.room.unverified.lock().unwrap().len() == 1 && others.grow(3 * UNIT));
        assert!(!room.place(None).grow(1), "all of it is taken");
        drop(strangers);
        assert!(room.place(from("192.0.2.1")).grow(4 * UNIT));
        drop(others);
        assert!(room.unverified.lock().unwrap().is_empty());
        assert_eq!(room.free.available_permits(), 8);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let network = |address: &str| network(address.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }
}
