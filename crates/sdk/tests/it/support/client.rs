//! A client that knows no more of HTTP than the tests want it to.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Raw {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line")
    }

    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next().unwrap_or("")
    }
}

pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(soon(TcpStream::connect(address)).await.expect("a connection"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.stream.write_all(bytes.as_ref())).await.expect("the connection takes it");
    }

    pub(crate) async fn get(&mut self, path: &str) -> Raw {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        self.answer().await
    }

    /// Sends an invocation, and does not wait for its answer.
    pub(crate) async fn post(&mut self, path: &str) -> Raw {
        self.send(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")).await;
        self.answer().await
    }

    pub(crate) async fn ask(&mut self, payload: &str) {
        let length = payload.len();
        self.send(format!(
            "POST /invocations HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{payload}"
        ))
        .await;
    }

    pub(crate) async fn invoke(&mut self, payload: &str) -> Raw {
        self.ask(payload).await;
        self.answer().await
    }

    /// The next answer, whole.
    pub(crate) async fn answer(&mut self) -> Raw {
        let head = self.until("\r\n\r\n").await;
        let mut raw = Raw { head, body: String::new() };
        if raw.header("transfer-encoding") == "chunked" {
            loop {
                let size = self.until("\r\n").await;
                let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
                let chunk = self.bytes(size + 2).await;
                if size == 0 {
                    return raw;
                }
                raw.body.push_str(chunk.trim_end_matches("\r\n"));
            }
        }
        let length = raw.header("content-length").parse().unwrap_or(0);
        raw.body = self.bytes(length).await;
        raw
    }

    /// Reads up to and with `mark`.
    pub(crate) async fn until(&mut self, mark: &str) -> String {
        loop {
            let found = self.unread.windows(mark.len()).position(|window| window == mark.as_bytes());
            if let Some(at) = found {
                return self.take(at + mark.len());
            }
            assert!(self.more().await > 0, "closed before {mark:?}: {:?}", self.take(self.unread.len()));
        }
    }

    /// Whether the server closes the connection without a further byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.more().await == 0
    }

    async fn bytes(&mut self, count: usize) -> String {
        while self.unread.len() < count {
            assert!(self.more().await > 0, "closed before {count} bytes");
        }
        self.take(count)
    }

    async fn more(&mut self) -> usize {
        soon(self.stream.read_buf(&mut self.unread)).await.unwrap_or(0)
    }

    fn take(&mut self, count: usize) -> String {
        String::from_utf8(self.unread.drain(..count).collect()).expect("UTF-8")
    }
}
