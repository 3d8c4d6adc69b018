//! Sockets of a session's own network, for init, which is not in it.
//!
//! A socket belongs to the network in which it was made, wherever it is used. So a process of its
//! own enters that network, and makes there what init asks for. It does nothing else, and is started
//! only for agents that do not serve the socket that they were handed.

#![allow(unsafe_code, reason = "fork, and descriptors that are received are numbers at first")]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg,
    sendmsg, socket, socketpair,
};
use nix::unistd::{ForkResult, fork};

use super::spawn::out_of_the_way;
use crate::walls::{Enclosure, sys};

/// What may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wanted {
    /// For connections to an IPv4 address.
    Tcp4,
    /// For connections to an IPv6 address.
    Tcp6,
    /// To ask who listens.
    Diagnosis,
}

impl Wanted {
    const ALL: [Self; 3] = [Self::Tcp4, Self::Tcp6, Self::Diagnosis];

    /// Makes it in the network that this process is in.
    pub(super) fn make(self) -> io::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let made = match self {
            Self::Tcp4 => socket(AddressFamily::Inet, SockType::Stream, flags, None),
            Self::Tcp6 => socket(AddressFamily::Inet6, SockType::Stream, flags, None),
            Self::Diagnosis => {
                let flags = SockFlag::SOCK_CLOEXEC;
                socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)
            }
        };
        Ok(made?)
    }
}

/// The process, as init has it. It ends with this.
pub(super) struct Porter(OwnedFd);

impl Porter {
    /// Sends one in.
    pub(super) fn start(enclosure: &Enclosure) -> io::Result<Self> {
        let kind = SockType::SeqPacket;
        let (ours, theirs) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
        // SAFETY: init has one thread, so the child may do all that its parent might.
        match unsafe { fork() }? {
            ForkResult::Child => {
                drop(ours);
                // An error shows as the end of the connection.
                let _ = serve(enclosure, &theirs);
                sys::leave(0)
            }
            ForkResult::Parent { .. } => Ok(Self(out_of_the_way(ours)?)),
        }
    }

    /// A socket of the session's network.
    pub(super) fn fetch(&self, wanted: Wanted) -> io::Result<OwnedFd> {
        let request = [wanted as u8];
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&request)], &[], MsgFlags::MSG_NOSIGNAL, None)?;
        let (mut answer, mut space) = ([0], cmsg_space!([RawFd; 1]));
        let mut parts = [IoSliceMut::new(&mut answer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = control
                && let [descriptor] = descriptors[..]
            {
                // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
                return out_of_the_way(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }
        }
        Err(io::Error::other("the session's network cannot be reached"))
    }
}

fn serve(enclosure: &Enclosure, init: &OwnedFd) -> io::Result<()> {
    enclosure.enter_network()?;
    set_pdeathsig(Signal::SIGKILL)?;
    loop {
        let mut request = [0];
        let mut parts = [IoSliceMut::new(&mut request)];
        let received = recvmsg::<()>(init.as_raw_fd(), &mut parts, None, MsgFlags::empty())?.bytes;
        let wanted = Wanted::ALL.into_iter().find(|wanted| *wanted as u8 == request[0]);
        let (1, Some(wanted)) = (received, wanted) else { return Ok(()) };
        let made = wanted.make()?;
        let descriptors = [made.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        sendmsg::<()>(init.as_raw_fd(), &[IoSlice::new(&request)], &rights, MsgFlags::MSG_NOSIGNAL, None)?;
    }
}
