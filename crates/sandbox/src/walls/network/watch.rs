//! Hearing of addresses that this machine gets while sessions run.
//!
//! With [pasta](super::pasta) a session's connections are made by a program of this machine, to which
//! the machine is open at whichever of its addresses. So the [filter](super::filter) in the session's
//! network has to name all of them, those of tomorrow's VPN too.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::addresses;

/// Tells when this machine has other addresses than are known.
#[derive(Debug)]
pub(crate) struct AddressWatch {
    socket: OwnedFd,
    known: Vec<Ipv4Addr>,
}

impl AddressWatch {
    /// Begins to listen; what has changed since these were read is found by the first
    /// [`unknown`](Self::unknown).
    pub(super) fn begin(known: &[Ipv4Addr]) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, libc::RTMGRP_IPV4_IFADDR as u32))?;
        Ok(Self { socket, known: known.to_vec() })
    }

    /// Takes all that was heard. What it says is not looked at: some may have been lost.
    pub(crate) fn take(&self) {
        let mut news = [0; 4096];
        while let Ok(1..) | Err(Errno::ENOBUFS) = recv(self.socket.as_raw_fd(), &mut news, MsgFlags::empty())
        {
        }
    }

    /// All addresses, if one of them is not known.
    pub(crate) fn unknown(&self) -> io::Result<Option<Vec<Ipv4Addr>>> {
        let all = addresses::of_this_machine()?;
        let has_news = all.iter().any(|address| !self.known.contains(address));
        Ok(has_news.then_some(all))
    }

    /// These have been dealt with.
    pub(crate) fn know(&mut self, addresses: Vec<Ipv4Addr>) {
        self.known = addresses;
    }
}

impl AsFd for AddressWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
