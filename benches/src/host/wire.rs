//! One HTTP/1.1 connection of a load generator, over TCP or a Unix socket, to answers of any size.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use agentcore_sandbox::Io;
use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// As much as is read at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_once(':') {
            Some(("tcp", address)) => Ok(Self::Tcp(address.parse()?)),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            _ => bail!("{text:?} is neither tcp:ADDRESS nor unix:PATH"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What came back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Server-sent events in the body.
    pub(crate) items: u64,
    /// The body, as far as it is kept.
    pub(crate) body: Vec<u8>,
    pub(crate) body_bytes: u64,
}

/// Bytes of a body that are kept.
const KEPT: usize = 4 << 10;

pub(crate) struct Wire {
    io: Box<dyn Io>,
    buffer: Box<[u8]>,
}

impl Wire {
    pub(crate) async fn open(address: &Address) -> anyhow::Result<Self> {
        let io: std::io::Result<Box<dyn Io>> = async {
            Ok(match address {
                Address::Tcp(address) => {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream) as Box<dyn Io>
                }
                Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            })
        }
        .await;
        let io = io.with_context(|| format!("{address} is not to be had"))?;
        Ok(Self { io, buffer: vec![0; BUFFER_BYTES].into() })
    }

    /// Sends a request and reads its answer whole.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.io.write_all(request).await.context("the server closed the connection")?;
        let mut filled = 0;
        let (mut answer, mut body, head) = loop {
            filled += self.read(filled).await?;
            if let Some(found) = parse_head(&self.buffer[..filled])? {
                break found;
            }
        };
        let mut ended = body.feed(&self.buffer[head..filled], &mut answer)?;
        while !ended {
            let read = self.read(0).await?;
            ended = body.feed(&self.buffer[..read], &mut answer)?;
        }
        Ok(answer)
    }

    async fn read(&mut self, from: usize) -> anyhow::Result<usize> {
        match self.io.read(&mut self.buffer[from..]).await? {
            0 => bail!("the server closed the connection in the middle of an answer"),
            read => Ok(read),
        }
    }
}

/// The answer so far, how its body goes on, and where that begins. `None`: the head is not there
/// yet.
fn parse_head(bytes: &[u8]) -> anyhow::Result<Option<(Answer, Body, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.unwrap_or(0);
    let header = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let frame = match header("content-length") {
        Some(length) => Frame::Fixed(length.parse()?),
        None if header("transfer-encoding").is_some() => Frame::Size(0),
        None => bail!("the answer tells nothing of its length"),
    };
    let counts_items = header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    let body = Body { frame, counts_items, after_newline: false };
    Ok(Some((Answer { status, ..Answer::default() }, body, head)))
}

/// What comes next of a body.
struct Body {
    frame: Frame,
    counts_items: bool,
    after_newline: bool,
}

enum Frame {
    /// So many bytes, and then the end.
    Fixed(u64),
    /// A line with a chunk's size, read so far.
    Size(u64),
    /// What is left of a chunk.
    Chunk(u64),
    /// The end of a chunk's line.
    Gap,
    /// The empty line at the end.
    Last,
}

impl Body {
    /// Takes in what was read. Whether it is the end.
    fn feed(&mut self, mut bytes: &[u8], answer: &mut Answer) -> anyhow::Result<bool> {
        loop {
            if let Frame::Fixed(left) | Frame::Chunk(left) = self.frame {
                let (data, rest) = bytes.split_at(bytes.len().min(usize::try_from(left)?));
                self.take(data, answer);
                bytes = rest;
                let left = left - data.len() as u64;
                self.frame = match self.frame {
                    Frame::Fixed(_) if left == 0 => return Ok(true),
                    Frame::Fixed(_) => Frame::Fixed(left),
                    _ if left == 0 => Frame::Gap,
                    _ => Frame::Chunk(left),
                };
            }
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(false) };
            bytes = rest;
            self.frame = match (&self.frame, byte) {
                (Frame::Last, b'\n') => return Ok(true),
                (Frame::Last, _) => Frame::Last,
                (Frame::Gap, b'\n') => Frame::Size(0),
                (Frame::Gap, _) => Frame::Gap,
                (Frame::Size(0), b'\n') => Frame::Last,
                (Frame::Size(size), b'\n') => Frame::Chunk(*size),
                (Frame::Size(size), b'\r') => Frame::Size(*size),
                (Frame::Size(size), digit) => {
                    let digit = char::from(digit).to_digit(16).context("a chunk has no size")?;
                    Frame::Size(size * 16 + u64::from(digit))
                }
                (Frame::Fixed(_) | Frame::Chunk(_), _) => bail!("a body goes on past its end"),
            };
        }
    }

    fn take(&mut self, data: &[u8], answer: &mut Answer) {
        answer.body_bytes += data.len() as u64;
        let room = KEPT.saturating_sub(answer.body.len());
        answer.body.extend_from_slice(&data[..room.min(data.len())]);
        if self.counts_items {
            for byte in data {
                let newline = *byte == b'\n';
                answer.items += u64::from(newline && self.after_newline);
                self.after_newline = newline && !self.after_newline;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], step: usize) -> Option<Answer> {
        let (mut answer, mut body, head) = parse_head(text).unwrap().unwrap();
        let ended = text[head..].chunks(step).any(|piece| body.feed(piece, &mut answer).unwrap());
        ended.then_some(answer)
    }

    #[test]
    fn a_body_ends_where_its_length_or_its_last_chunk_says_however_it_comes() {
        let fixed = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n\
            9\r\ndata: 1\n\n\r\n12\r\ndata: 2\n\ndata: 3\n\n\r\n0\r\n\r\n";
        for step in 1..60 {
            let answer = read(fixed, step).unwrap();
            assert_eq!((answer.body.as_slice(), answer.items), (b"hello".as_slice(), 0));
            let answer = read(chunked, step).unwrap();
            assert_eq!((answer.body_bytes, answer.items), (27, 3));
        }
        assert_eq!(read(&chunked[..chunked.len() - 1], 7), None);
    }

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["tcp:127.0.0.1:80", "unix:/tmp/a:b"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert!("127.0.0.1:80".parse::<Address>().is_err());
    }
}
