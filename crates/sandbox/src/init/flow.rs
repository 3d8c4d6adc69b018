//! One direction of a bridged connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

/// Bytes in flight in one direction.
const BUFFER: usize = 32 * 1024;

/// A stream whose writing side can be closed by itself.
pub(super) trait HalfClose {
    fn close_writing(&self) -> io::Result<()>;
}

impl HalfClose for std::os::unix::net::UnixStream {
    fn close_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl HalfClose for std::net::TcpStream {
    fn close_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Moves bytes from one non-blocking stream to another, and the end of them too.
pub(super) struct Flow {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    // The source has ended; what is in the buffer has still to go out.
    Draining,
    Closed,
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Bytes moved; there may be more.
    Moved,
    /// One side has to do something first.
    Stuck,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER].into_boxed_slice(), start: 0, end: 0, state: State::Open }
    }

    /// Everything has been passed on, the end included.
    pub(super) fn closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Nothing that was read is still to be written.
    pub(super) fn empty(&self) -> bool {
        self.start == self.end
    }

    /// Reads once and writes once.
    ///
    /// # Errors
    /// One of the streams is broken, and with it the connection.
    pub(super) fn turn<R: Read, W: Write + HalfClose>(
        &mut self,
        from: &mut R,
        to: &mut W,
    ) -> io::Result<Turn> {
        let read = self.fill(from)?;
        let written = self.flush(to)?;
        if self.state == State::Draining && self.empty() {
            self.state = State::Closed;
            // The other side may have closed it first.
            let _ = to.close_writing();
        }
        Ok(if read || written { Turn::Moved } else { Turn::Stuck })
    }

    fn fill(&mut self, from: &mut impl Read) -> io::Result<bool> {
        if self.empty() {
            (self.start, self.end) = (0, 0);
        }
        if self.state != State::Open || self.end == self.buffer.len() {
            return Ok(false);
        }
        let Some(count) = unless_it_would_block(from.read(&mut self.buffer[self.end..]))? else {
            return Ok(false);
        };
        if count == 0 {
            self.state = State::Draining;
        }
        self.end += count;
        Ok(true)
    }

    fn flush(&mut self, to: &mut impl Write) -> io::Result<bool> {
        if self.empty() {
            return Ok(false);
        }
        let Some(count) = unless_it_would_block(to.write(&self.buffer[self.start..self.end]))? else {
            return Ok(false);
        };
        self.start += count;
        Ok(count > 0)
    }
}

fn unless_it_would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
