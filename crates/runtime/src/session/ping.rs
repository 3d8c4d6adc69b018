//! One `GET /ping`, by hand: it is sent a thousand times a second, and asks for very little.

use std::io;

use agentcore_protocol::PingStatus;
use agentcore_protocol::agent::PING_PATH;
use agentcore_sandbox::{Io, Sandbox};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Most bytes of an answer that are read.
const MAX_ANSWER: usize = 16 * 1024;
/// What usually suffices.
const USUAL_ANSWER: usize = 512;
const MAX_HEADERS: usize = 64;

/// What came back, be it good or bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PingAnswer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Pings an agent on a connection of its own.
pub(crate) async fn ping(sandbox: &dyn Sandbox) -> Result<PingAnswer, String> {
    let io = sandbox.connect().await.map_err(|error| format!("it accepts no connection: {error}"))?;
    exchange(io).await
}

async fn exchange(mut io: Box<dyn Io>) -> Result<PingAnswer, String> {
    let failed = |error: io::Error| format!("the connection failed: {error}");
    let request = format!("GET {PING_PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    io.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::with_capacity(USUAL_ANSWER);
    loop {
        let ended = io.read_buf(&mut answer).await.map_err(failed)? == 0;
        match parse(&answer, ended)? {
            Some(parsed) => return Ok(parsed),
            None if ended && answer.is_empty() => {
                return Err("it closed the connection without an answer".into());
            }
            None if ended => return Err("it closed the connection in the middle of its answer".into()),
            None if answer.len() > MAX_ANSWER => {
                return Err(format!("its answer exceeds {MAX_ANSWER} bytes"));
            }
            None => {}
        }
    }
}

/// The answer, once it is whole. `ended`: nothing more comes.
fn parse(bytes: &[u8], ended: bool) -> Result<Option<PingAnswer>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let not_http = |error: httparse::Error| format!("its answer is not HTTP: {error}");
    let httparse::Status::Complete(length) = head.parse(bytes).map_err(not_http)? else { return Ok(None) };
    let status = head.code.unwrap_or_default();
    let rest = &bytes[length..];
    let header = |name: &str| {
        head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    };
    if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
        return Ok(dechunk(rest)?.map(|body| PingAnswer { status, body }));
    }
    let announced = header("content-length")
        .map(|value| std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<usize>().ok()))
        .map(|length| length.ok_or("its answer has a bad Content-Length"))
        .transpose()?;
    let whole = match announced {
        Some(length) => rest.get(..length),
        None => ended.then_some(rest),
    };
    Ok(whole.map(|body| PingAnswer { status, body: body.to_vec() }))
}

fn dechunk(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(bytes).map_err(|_| "its answer has a bad chunk")?;
        let httparse::Status::Complete((start, size)) = size else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size));
        let end = end.ok_or("its answer has a bad chunk")?;
        let (Some(chunk), Some(after)) = (bytes.get(start..end), bytes.get(end + 2..)) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        bytes = after;
    }
}

impl PingAnswer {
    /// The status it reports. Anything else in it, timestamps included, is left aside.
    pub(crate) fn judge(&self) -> Result<PingStatus, String> {
        #[derive(Deserialize)]
        struct Report {
            status: PingStatus,
        }
        if self.status != 200 {
            return Err(format!("it answered with HTTP status {}", self.status));
        }
        match serde_json::from_slice::<Report>(&self.body) {
            Ok(report) => Ok(report.status),
            Err(_) => {
                let start: String = String::from_utf8_lossy(&self.body).chars().take(80).collect();
                Err(format!(r#"it answered {start:?} instead of {{"status":"Healthy"}} or "HealthyBusy""#))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(answer: &str) -> Result<PingStatus, String> {
        parse(answer.as_bytes(), true)?.ok_or("incomplete")?.judge()
    }

    #[test]
    fn an_answer_is_understood_with_a_length_in_chunks_or_up_to_the_end() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"status\":\"Healthy\"}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{\"status\":\r\na\r\n\"Healthy\"}\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\n{\"status\":\"Healthy\"}",
            "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"Healthy\",\"time_of_last_update\":1.5,\"more\":[]}",
        ] {
            assert_eq!(judged(answer), Ok(PingStatus::Healthy), "{answer}");
        }
    }

    #[test]
    fn a_bad_answer_is_described() {
        for (answer, problem) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", "it answered with HTTP status 404"),
            ("SSH-2.0-OpenSSH\r\n", "its answer is not HTTP"),
            ("HTTP/1.1 200 OK\r\n\r\nOK", "it answered \"OK\" instead of"),
            ("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"Sick\"}", "instead of"),
            ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "bad Content-Length"),
        ] {
            let error = judged(answer).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>, ended: bool) {
            let _ = parse(&bytes, ended);
            let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            chunked.extend(bytes);
            let _ = parse(&chunked, ended);
        }

        #[test]
        fn an_answer_that_comes_byte_by_byte_is_whole_only_at_its_end(cut in 0usize..60) {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"status\":\"Healthy\"}";
            let cut = cut.min(answer.len() - 1);
            prop_assert_eq!(parse(&answer[..cut], false).unwrap(), None);
        }
    }
}
