//! A Unix socket that wakes its task only for what that waits for.
//!
//! The kernel tells a Unix socket's writer of room each time that the other side reads, as if the writer
//! had waited for it. Whoever asks to hear of both reading and writing, as tokio's own stream does, is
//! woken once for each message that is taken, for nothing. Between a host and its agents that is once
//! for each request, and once for each answer.

#![allow(
    unsafe_code,
    reason = "descriptors that are watched, and reading into memory that holds nothing yet"
)]

use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// A connection of a Unix socket, which hears of what there is to read, and of room to write when there
/// was none.
#[derive(Debug)]
pub struct UnixIo {
    socket: AsyncFd<UnixStream>,
    /// Where room is waited for, once there was none.
    room: Option<AsyncFd<UnixStream>>,
}

impl UnixIo {
    /// Takes over a connection, within a tokio runtime. It must not block.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        Ok(Self { socket: watch(socket, Interest::READABLE)?, room: None })
    }

    /// Connects, which never has to wait: a socket that cannot take more connections refuses them.
    ///
    /// # Errors
    /// Nobody listens there, or not to more.
    #[cfg(feature = "sessions")]
    pub fn connect(path: &std::path::Path) -> io::Result<Self> {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Self::new(socket.into())
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut &UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(&mut self.socket.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => return Poll::Ready(written),
            }
            let room = match &mut self.room {
                Some(room) => room,
                None => {
                    let same = self.socket.get_ref().try_clone()?;
                    self.room.insert(watch(same, Interest::WRITABLE)?)
                }
            };
            // What is known of room is older than the attempt, or comes now.
            ready!(room.poll_write_ready(cx))?.clear_ready();
        }
    }
}

fn watch(socket: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: a stream owns its descriptor and never replaces it.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest) }?)
}

impl AsyncRead for UnixIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(cx))?;
            let room = buffer.remaining();
            if let Ok(received) = guard.try_io(|socket| receive(socket.get_ref(), buffer)) {
                // Less than there was room for is all that there was: the kernel tells when more comes.
                if received.as_ref().is_ok_and(|received| (1..room).contains(received)) {
                    guard.clear_ready();
                }
                return Poll::Ready(received.map(drop));
            }
        }
    }
}

fn receive(socket: &UnixStream, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: nothing is read of it, and nothing that was initialised is made to be otherwise.
    let unfilled = unsafe { buffer.unfilled_mut() };
    // SAFETY: the kernel writes at most so many bytes, to memory that is ours alone.
    let received = unsafe { libc::recv(socket.as_raw_fd(), unfilled.as_mut_ptr().cast(), unfilled.len(), 0) };
    let Ok(received) = usize::try_from(received) else { return Err(io::Error::last_os_error()) };
    // SAFETY: the kernel has filled so many of them.
    unsafe { buffer.assume_init(received) };
    buffer.advance(received);
    Ok(received)
}

impl AsyncWrite for UnixIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |socket| socket.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |socket| socket.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket.get_ref().shutdown(Shutdown::Write) {
            // The other side has gone already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (UnixIo, tokio::net::UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        for socket in [&ours, &theirs] {
            socket.set_nonblocking(true).unwrap();
        }
        (UnixIo::new(ours).unwrap(), tokio::net::UnixStream::from_std(theirs).unwrap())
    }

    #[tokio::test]
    async fn more_than_fits_the_socket_arrives_whole_in_both_directions() {
        let (ours, theirs) = pair();
        let sent: Vec<u8> = (0..4_000_000_u32).map(|number| (number % 251) as u8).collect();
        let (mut our_end, mut their_end) = (tokio::io::split(ours), tokio::io::split(theirs));
        let (mut heard, mut returned) = (vec![0; sent.len()], vec![0; sent.len()]);
        let there = async {
            tokio::try_join!(our_end.1.write_all(&sent), their_end.0.read_exact(&mut heard)).unwrap();
        };
        let back = async {
            tokio::try_join!(their_end.1.write_all(&sent), our_end.0.read_exact(&mut returned)).unwrap();
        };
        tokio::join!(there, back);
        assert!(heard == sent && returned == sent);
    }

    #[tokio::test]
    async fn its_end_is_told_both_ways() {
        let (mut ours, mut theirs) = pair();
        ours.write_all(b"question").await.unwrap();
        ours.shutdown().await.unwrap();
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "question");
        theirs.write_all(b"answer").await.unwrap();
        drop(theirs);
        heard.clear();
        ours.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "answer");
        assert_eq!(ours.write_all(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn who_waits_for_room_hears_of_the_end_too() {
        let (mut ours, theirs) = pair();
        let writing = tokio::spawn(async move { ours.write_all(&vec![0; 4_000_000]).await });
        tokio::task::yield_now().await;
        drop(theirs);
        let written = tokio::time::timeout(Duration::from_secs(30), writing).await.unwrap().unwrap();
        assert!(written.is_err());
    }

    #[tokio::test]
    async fn what_was_read_to_its_end_is_not_read_again_before_more_is_announced() {
        use futures_util::FutureExt;

        let (mut ours, theirs) = pair();
        theirs.writable().await.unwrap();
        theirs.try_write(b"one").unwrap();
        let mut heard = [0; 16];
        assert_eq!(ours.read(&mut heard).await.unwrap(), 3);
        // The runtime learns of this only when it looks at its sockets again, which it has not.
        theirs.try_write(b"two").unwrap();
        assert!(ours.read(&mut heard).now_or_never().is_none(), "it asked the kernel");
        assert_eq!(ours.read(&mut heard).await.unwrap(), 3);
    }
}
