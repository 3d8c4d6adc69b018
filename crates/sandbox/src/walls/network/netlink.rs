//! Asking the kernel to change its network: send, and hear whether it did.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// A conversation with one part of the kernel, in the network namespace in which it was opened.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a conversation; `protocol` is one of `netlink_sys::protocols`.
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes one change.
    pub(super) fn change<T>(&mut self, message: T, flags: u16) -> io::Result<()>
    where
        T: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<T>>,
    {
        self.change_all(vec![(message, flags | NLM_F_ACK)])
    }

    /// Sends several messages at once. The one that asks for it with [`NLM_F_ACK`] is waited for,
    /// and the first that fails is the result.
    pub(super) fn change_all<T>(&mut self, messages: Vec<(T, u16)>) -> io::Result<()>
    where
        T: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<T>>,
    {
        let (mut buffer, mut awaited) = (Vec::new(), 0);
        for (message, flags) in messages {
            self.sequence += 1;
            let mut message = NetlinkMessage::from(message);
            message.header.flags = NLM_F_REQUEST | flags;
            message.header.sequence_number = self.sequence;
            if flags & NLM_F_ACK != 0 {
                awaited = self.sequence;
            }
            message.finalize();
            let start = buffer.len();
            buffer.resize(start + message.buffer_len(), 0);
            message.serialize(&mut buffer[start..]);
        }
        self.socket.send(&buffer, 0)?;
        self.hear::<T>(awaited)
    }

    fn hear<T: NetlinkDeserializable>(&self, awaited: u32) -> io::Result<()> {
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            let mut rest = &answer[..];
            while !rest.is_empty() {
                let message = NetlinkMessage::<T>::deserialize(rest)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                match message.payload {
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) if message.header.sequence_number == awaited => return Ok(()),
                    _ => {}
                }
                // Messages begin at multiples of four.
                let length = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}
