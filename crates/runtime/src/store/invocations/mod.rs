//! Invocations in the store.

mod expiry;
mod list;
mod read;
mod write;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) use expiry::Kept;
pub(super) use write::{accept, answering, end, forget, interrupt_all, start};

/// Headers as they go over the wire.
fn to_bytes(headers: &HeaderMap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// The headers that [`to_bytes`] wrote.
fn from_bytes(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Neither a name nor a value can hold the end of a line.
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were() {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("text/plain; a=\"b:c\""));
        headers.append("x-twice", HeaderValue::from_static("one"));
        headers.append("x-twice", HeaderValue::from_bytes(b"tw\xf6").unwrap());
        headers.append("x-empty", HeaderValue::from_static(""));
        assert_eq!(from_bytes(&to_bytes(&headers)), headers);
    }
}
