//! Bytes that travel with descriptors over a Unix socket.

#![allow(unsafe_code, reason = "descriptors that are received are numbers at first")]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// The most descriptors that come with one message.
const MOST_DESCRIPTORS: usize = 2;
/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// Sends descriptors with the first of `bytes`, and says how many of these went with them.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let socket = socket.as_fd().as_raw_fd();
    Ok(sendmsg::<()>(socket, &[IoSlice::new(bytes)], &rights, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// What has come so far.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Parcel {
    /// Takes what is there, or waits for it unless `flags` say otherwise. How many bytes came: none
    /// at the end.
    pub(crate) fn receive(&mut self, socket: impl AsFd, flags: MsgFlags) -> io::Result<usize> {
        let mut chunk = [0; CHUNK];
        let mut space = cmsg_space!([RawFd; MOST_DESCRIPTORS]);
        let mut slices = [IoSliceMut::new(&mut chunk)];
        let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut slices, Some(&mut space), flags)?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = control {
                // SAFETY: the kernel has just made these descriptors for us; nobody else owns them.
                self.descriptors.extend(descriptors.iter().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }));
            }
        }
        let count = message.bytes;
        self.bytes.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// Waits for a whole line and takes it out, without its end. `None` if the other side leaves before.
    pub(crate) fn line(&mut self, socket: impl AsFd) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let rest = self.bytes.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.bytes, rest);
                line.pop();
                return Ok(Some(line));
            }
            if self.receive(&socket, MsgFlags::empty())? == 0 {
                return Ok(None);
            }
        }
    }

    /// Whether there is more, which is taken, or nothing to come: whoever waits does not wait any longer.
    pub(crate) fn has_come(&mut self, socket: impl AsFd) -> bool {
        !self.bytes.is_empty() || self.receive(socket, MsgFlags::MSG_DONTWAIT).is_ok()
    }

    /// Waits for everything, until the other side has nothing more to say.
    pub(crate) fn rest(&mut self, socket: impl AsFd) -> io::Result<()> {
        while self.receive(&socket, MsgFlags::empty())? > 0 {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives_though_the_line_before_is_read_first() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "inside").unwrap();
        ours.write_all(b"first\n").unwrap();
        let sent = send(&ours, b"second", &[file.as_file().as_fd()]).unwrap();
        assert_eq!(sent, 6);
        drop(ours);
        let mut parcel = Parcel::default();
        assert_eq!(parcel.line(&theirs).unwrap().unwrap(), b"first");
        parcel.rest(&theirs).unwrap();
        assert_eq!(parcel.bytes, b"second");
        let mut text = String::new();
        File::from(parcel.descriptors.pop().unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
    }

    #[test]
    fn what_has_come_is_seen_without_waiting() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut parcel = Parcel::default();
        assert!(!parcel.has_come(&theirs));
        ours.write_all(b"here").unwrap();
        assert!(parcel.has_come(&theirs) && parcel.has_come(&theirs));
        assert_eq!(parcel.bytes, b"here");
    }

    #[test]
    fn whoever_leaves_before_the_line_ends_has_said_nothing() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"half a li").unwrap();
        drop(ours);
        assert_eq!(Parcel::default().line(&theirs).unwrap(), None);
    }
}
