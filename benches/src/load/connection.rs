//! One HTTP/1.1 connection of the load generator.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than any answer that is measured.
const BUFFER_BYTES: usize = 64 << 10;

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where in the buffer the last answer's body is.
    body: std::ops::Range<usize>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("{address} is not to be had"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES], body: 0..0 })
    }

    pub(crate) async fn write(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await.context("the server closed the connection")
    }

    /// Sends a request and reads its answer whole. Returns the status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.write(request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                bail!("the server closed the connection after {filled} bytes of an answer");
            }
            filled += read;
            if let Some(answer) = parse(&self.buffer[..filled])?
                && answer.end <= filled
            {
                self.body = answer.body..answer.end;
                return Ok(answer.status);
            }
        }
    }

    /// The last answer's body.
    pub(crate) fn body(&self) -> Option<Vec<u8>> {
        self.buffer.get(self.body.clone()).map(<[u8]>::to_vec)
    }
}

struct Answer {
    status: u16,
    /// Where the body begins, and where it ends.
    body: usize,
    end: usize,
}

/// Finds an answer's end. `None`: its head is not there yet.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body) = response.parse(bytes)? else { return Ok(None) };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.context("the answer has no content-length")?;
    let length: usize = std::str::from_utf8(length.value)?.trim().parse()?;
    Ok(Some(Answer { status: response.code.unwrap_or(0), body, end: body + length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        let answer = parse(text).unwrap().unwrap();
        assert_eq!((answer.status, &text[answer.body..answer.end]), (200, b"{}".as_slice()));
        assert!(parse(&text[..20]).unwrap().is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
