//! The listening TCP sockets of this network namespace, asked of the kernel by sock_diag(7).
//!
//! `/proc/net/tcp` says the same, but walks the table of all connections for it, which takes
//! milliseconds on a machine with much memory, however few connections there are.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{MsgFlags, NetlinkAddr, recvmsg, sendmsg};

use super::listener::{Family, Listener};
use super::porter::Wanted;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const HEADER: usize = 16;
/// `struct inet_diag_req_v2` and `struct inet_diag_msg`.
const REQUEST: usize = 56;
const ANSWER: usize = 72;
const TCP_LISTEN: u32 = 10;
/// As large as the kernel fills at once.
const ANSWERS_AT_ONCE: usize = 32 * 1024;

/// The listeners of one family.
pub(super) fn listeners(family: Family) -> io::Result<Vec<Listener>> {
    ask(&Wanted::Diagnosis.make()?, family)
}

/// The listeners of one family in the network that `netlink` belongs to.
pub(super) fn ask(netlink: &OwnedFd, family: Family) -> io::Result<Vec<Listener>> {
    let request = request(family);
    let kernel = NetlinkAddr::new(0, 0);
    let parts = [IoSlice::new(&request)];
    sendmsg(netlink.as_raw_fd(), &parts, &[], MsgFlags::empty(), Some(&kernel))?;
    let mut found = Vec::new();
    while !read_answers(netlink, family, &mut found)? {}
    Ok(found)
}

fn request(family: Family) -> [u8; HEADER + REQUEST] {
    let mut request = [0; HEADER + REQUEST];
    let length = (HEADER + REQUEST) as u32;
    let dump = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    request[0..4].copy_from_slice(&length.to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&dump.to_ne_bytes());
    request[HEADER] = match family {
        Family::V4 => libc::AF_INET as u8,
        Family::V6 => libc::AF_INET6 as u8,
    };
    request[HEADER + 1] = libc::IPPROTO_TCP as u8;
    request[HEADER + 4..HEADER + 8].copy_from_slice(&(1_u32 << TCP_LISTEN).to_ne_bytes());
    request
}

// Whether these were the last.
fn read_answers(netlink: &OwnedFd, family: Family, found: &mut Vec<Listener>) -> io::Result<bool> {
    let mut buffer = vec![0; ANSWERS_AT_ONCE];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let received = recvmsg::<()>(netlink.as_raw_fd(), &mut parts, None, MsgFlags::empty())?.bytes;
    parse(&buffer[..received], family, found)
}

fn parse(mut answers: &[u8], family: Family, found: &mut Vec<Listener>) -> io::Result<bool> {
    while let Some((length, kind)) = header(answers) {
        let message = answers.get(HEADER..length).ok_or(io::ErrorKind::InvalidData)?;
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(true),
            libc::NLMSG_ERROR => return Err(io::ErrorKind::Unsupported.into()),
            _ => found.extend(listener(message, family)),
        }
        // Messages begin at multiples of four.
        answers = answers.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn header(answers: &[u8]) -> Option<(usize, u16)> {
    let length = u32::from_ne_bytes(answers.get(0..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(answers.get(4..6)?.try_into().ok()?);
    (length >= HEADER).then_some((length, kind))
}

fn listener(message: &[u8], family: Family) -> Option<Listener> {
    let message = message.get(..ANSWER)?;
    let port = u16::from_be_bytes(message[4..6].try_into().ok()?);
    let inode = u32::from_ne_bytes(message[68..72].try_into().ok()?);
    Some(Listener { port, inode: inode.into(), family })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

    use super::*;

    #[test]
    fn the_kernel_names_our_listeners() {
        for (family, address) in
            [(Family::V4, Ipv4Addr::LOCALHOST.into()), (Family::V6, Ipv6Addr::LOCALHOST.into())]
        {
            let ours = TcpListener::bind(std::net::SocketAddr::new(address, 0)).unwrap();
            let link = std::fs::read_link(format!("/proc/self/fd/{}", ours.as_raw_fd())).unwrap();
            let port = ours.local_addr().unwrap().port();
            let found = listeners(family).unwrap();
            let found = found.iter().find(|listener| listener.port == port).unwrap();
            assert_eq!(link.to_str().unwrap(), format!("socket:[{}]", found.inode));
        }
    }

    #[test]
    fn an_answer_that_is_cut_short_is_no_listener() {
        let mut found = Vec::new();
        assert!(parse(&[80, 0, 0, 0, 20, 0, 0, 0], Family::V4, &mut found).is_err());
        assert!(!parse(&[1, 0, 0], Family::V4, &mut found).unwrap());
        assert!(!parse(&[0; 64], Family::V4, &mut found).unwrap());
        assert!(found.is_empty());
    }
}
