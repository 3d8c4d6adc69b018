//! A TCP port for an agent that will not serve the handed-over socket.
//!
//! The port must be free when the agent gets round to binding it, which may be much later, and no
//! two sessions may be told the same. A socket held open would keep the agent itself out, so
//! inits agree by abstract Unix sockets: whoever has `agentcore-port-N` has port N. These names
//! are as wide as the ports are (both belong to the network namespace) and go with their owner.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Below the range that the kernel gives to outgoing connections (32768 on).
const PORTS: std::ops::Range<u16> = 20_000..32_768;

/// A port that is ours for as long as this lives.
pub(super) struct ClaimedPort {
    number: u16,
    _claim: UnixListener,
}

impl ClaimedPort {
    /// Claims a port that nobody has.
    pub(super) fn any() -> io::Result<Self> {
        let first = fastrand::u16(PORTS);
        let ports = (first..PORTS.end).chain(PORTS.start..first);
        ports.into_iter().find_map(Self::claim).ok_or_else(|| {
            io::Error::new(io::ErrorKind::AddrInUse, format!("all ports of {PORTS:?} are taken"))
        })
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    fn claim(number: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("agentcore-port-{number}")).ok()?;
        let claim = UnixListener::bind_addr(&name).ok()?;
        // Programs that know nothing of our claims may have it all the same.
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _claim: claim })
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
}
