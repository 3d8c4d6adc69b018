//! A TCP port for an agent that will not serve the handed-over socket.
//!
//! The port must be free when the agent gets round to binding it, which may be much later, and no
//! two sessions may be told the same. A socket held open would keep the agent itself out, so
//! inits agree by abstract Unix sockets: whoever has `agentcore-port-N` has port N. These names
//! are as wide as the ports are (both belong to the network namespace) and go with their owner.
//! An agent on the machine's own network can take names, too, to keep sessions from starting. Where all are
//! taken, a port does that nobody listens on.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Below the range that the kernel gives to outgoing connections (32768 on).
const PORTS: std::ops::Range<u16> = 20_000..32_768;

/// A port that is ours for as long as this lives.
pub(super) struct ClaimedPort {
    number: u16,
    _claim: Option<UnixListener>,
}

impl ClaimedPort {
    /// Claims a port that nobody has.
    pub(super) fn any() -> io::Result<Self> {
        let first = fastrand::u16(PORTS);
        let ports = (first..PORTS.end).chain(PORTS.start..first);
        Self::among(ports).ok_or_else(|| {
            io::Error::new(io::ErrorKind::AddrInUse, format!("all ports of {PORTS:?} are taken"))
        })
    }

    fn among(ports: impl Iterator<Item = u16> + Clone) -> Option<Self> {
        let free = |number: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *number)).is_ok();
        let unclaimed = || ports.clone().find(free).map(|number| Self { number, _claim: None });
        ports.clone().find_map(Self::claim).or_else(unclaimed)
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    fn claim(number: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("agentcore-port-{number}")).ok()?;
        let claim = UnixListener::bind_addr(&name).ok()?;
        // Programs that know nothing of our claims may have it all the same.
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _claim: Some(claim) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_claimed_once_and_can_be_bound() {
        let port = ClaimedPort::any().unwrap();
        assert!(ClaimedPort::claim(port.number()).is_none());
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap();
        let number = port.number();
        drop(port);
        assert!(ClaimedPort::claim(number).is_none(), "someone serves there");
        drop(bound);
        assert!(ClaimedPort::claim(number).is_some());
    }

    #[test]
    fn where_somebody_has_taken_all_names_a_free_port_does() {
        let squatter = ClaimedPort::any().unwrap();
        let taken = [squatter.number()].into_iter();
        assert_eq!(ClaimedPort::among(taken.clone()).unwrap().number(), squatter.number());
        let _bound = TcpListener::bind((Ipv4Addr::LOCALHOST, squatter.number())).unwrap();
        assert!(ClaimedPort::among(taken).is_none());
    }
}
