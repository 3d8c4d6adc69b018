//! Finding out whether the agent listens on a TCP port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use super::sock_diag;
use crate::proc::Proc;

/// The state of a listening socket in the kernel's tables.
const LISTEN: &str = "0A";

/// A listening TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) port: u16,
    pub(super) inode: u64,
    pub(super) family: Family,
}

/// What kind of address it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Where to reach a descendant of `ancestor` that listens on one of these ports, the first of
/// them that has one. A listener of anybody else does not count: another session may have bound
/// the port that this agent was written for.
pub(super) fn find(proc: &Proc, ancestor: i32, ports: &[u16]) -> Option<SocketAddr> {
    let mut listeners = all(proc, Family::V4);
    listeners.extend(all(proc, Family::V6));
    listeners.retain(|listener| ports.contains(&listener.port));
    if listeners.is_empty() {
        return None;
    }
    let descendants = proc.descendants(ancestor);
    let owned = |listener: &&Listener| descendants.iter().any(|pid| proc.holds_socket(*pid, listener.inode));
    let rank = |listener: &&Listener| ports.iter().position(|port| *port == listener.port);
    listeners.iter().filter(owned).min_by_key(rank).map(Listener::address)
}

/// The same in a network that is the session's alone, of which `diagnosis` is a socket: whoever
/// listens there is the agent.
pub(super) fn find_any(diagnosis: &OwnedFd, ports: &[u16]) -> Option<SocketAddr> {
    let of_family = |family| sock_diag::ask(diagnosis, family).unwrap_or_default();
    let listeners = [Family::V4, Family::V6].into_iter().flat_map(of_family);
    let rank = |listener: &Listener| ports.iter().position(|port| *port == listener.port);
    listeners.filter(|listener| rank(listener).is_some()).min_by_key(rank).map(|found| found.address())
}

// Not every kernel has sock_diag, but every one with TCP has the tables.
fn all(proc: &Proc, family: Family) -> Vec<Listener> {
    let table = match family {
        Family::V4 => "tcp",
        Family::V6 => "tcp6",
    };
    sock_diag::listeners(family).unwrap_or_else(|_| parse(&proc.network_table(table), family))
}

impl Listener {
    fn address(&self) -> SocketAddr {
        let loopback = match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        SocketAddr::new(loopback, self.port)
    }
}

// `  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 12345 1 ...`
fn parse(table: &str, family: Family) -> Vec<Listener> {
    let lines = table.lines().skip(1);
    lines.filter_map(|line| parse_line(line, family)).collect()
}

fn parse_line(line: &str, family: Family) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (_, port) = fields.get(1)?.split_once(':')?;
    Some(Listener { port: u16::from_str_radix(port, 16).ok()?, inode: fields.get(9)?.parse().ok()?, family })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0
   1: 0100007F:1F91 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 12346 1 0
";

    #[test]
    fn only_listening_sockets_count() {
        let expected = Listener { port: 8080, inode: 12345, family: Family::V4 };
        assert_eq!(parse(TABLE, Family::V4), [expected]);
    }

    #[test]
    fn a_listener_of_somebody_else_does_not_count() {
        let ours = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = ours.local_addr().unwrap().port();
        let proc = Proc::default();
        // This process is no descendant of itself.
        assert_eq!(find(&proc, std::process::id() as i32, &[port]), None);
        let parent = nix::unistd::getppid().as_raw();
        assert_eq!(find(&proc, parent, &[port]), Some(ours.local_addr().unwrap()));
    }
}
