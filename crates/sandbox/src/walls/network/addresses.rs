//! Which addresses are whose.

use std::io;
use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;

use super::rules::Net;

/// What the sessions of this machine have their addresses from: of the range that RFC 6598 sets
/// aside for translated networks, a part that no well-known program uses.
pub(super) const SESSIONS: Net = (Ipv4Addr::new(100, 113, 0, 0), 16);
/// Link-local addresses, where clouds tell the machine's own secrets.
pub(super) const LINK_LOCAL: Net = (Ipv4Addr::new(169, 254, 0, 0), 16);
/// Where Azure and Alibaba do; the first also answers for names, on [`NAMES`].
pub(super) const METADATA: [Net; 2] =
    [(Ipv4Addr::new(168, 63, 129, 16), 32), (Ipv4Addr::new(100, 100, 100, 200), 32)];
/// The port of DNS.
pub(super) const NAMES: u16 = 53;
/// Addresses of many.
pub(super) const MULTICAST: Net = (Ipv4Addr::new(224, 0, 0, 0), 4);
pub(super) const BROADCAST: Net = (Ipv4Addr::BROADCAST, 32);

/// How many sessions have addresses: two for each.
pub(super) const LINKS: u16 = 1 << 15;

/// The two ends of a session's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) host: Ipv4Addr,
    pub(super) session: Ipv4Addr,
}

impl Ends {
    /// The ends of the link with this number, below [`LINKS`].
    pub(super) fn of(number: u16) -> Self {
        let host = SESSIONS.0.to_bits() + 2 * u32::from(number);
        Self { host: host.into(), session: (host + 1).into() }
    }
}

/// The addresses at which this machine is reached from others, in this network namespace.
pub(super) fn of_this_machine() -> io::Result<Vec<Ipv4Addr>> {
    let addresses = getifaddrs()?.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()));
    Ok(addresses.filter(|address| !address.is_loopback() && !is_sessions(*address)).collect())
}

fn is_sessions(address: Ipv4Addr) -> bool {
    address.octets()[..2] == SESSIONS.0.octets()[..2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_has_two_addresses_of_its_own() {
        let first = Ends::of(0);
        assert_eq!((first.host, first.session), ([100, 113, 0, 0].into(), [100, 113, 0, 1].into()));
        let last = Ends::of(LINKS - 1);
        assert_eq!((last.host, last.session), ([100, 113, 255, 254].into(), [100, 113, 255, 255].into()));
        assert!(is_sessions(last.host) && !is_sessions([100, 114, 0, 0].into()));
    }
}
