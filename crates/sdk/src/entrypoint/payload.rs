//! From a request's body to text, and from text to a handler's payload.

use std::fmt;

use agentcore_protocol::error::{ErrorBody, INVALID_ENCODING, INVALID_JSON};
use axum::extract::ws::Utf8Bytes;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::StatusCode;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::strict::{self, Checked};

/// Above this many bytes a payload is parsed off the I/O threads.
const LARGE: usize = 1 << 20;

/// Why a payload never reaches the handler.
#[derive(Debug)]
pub enum PayloadError {
    TooLarge {
        limit: usize,
    },
    Interrupted(String),
    Encoding(String),
    Json(String),
    /// JSON, but not what the handler takes.
    Mismatch(String),
}

impl PayloadError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(crate) fn body(&self) -> ErrorBody<'_> {
        match self {
            Self::TooLarge { limit } => ErrorBody::new("Payload too large").with_details(format!(
                "a payload has at most {limit} bytes: send less, or send a reference to it"
            )),
            Self::Interrupted(details) => ErrorBody::new("Incomplete body").with_details(details.as_str()),
            Self::Encoding(details) => ErrorBody::new(INVALID_ENCODING).with_details(details.as_str()),
            Self::Json(details) => ErrorBody::new(INVALID_JSON).with_details(details.as_str()),
            Self::Mismatch(details) => ErrorBody::new("Invalid payload").with_details(details.as_str()),
        }
    }
}

/// Reads a whole body of at most `limit` bytes.
///
/// A body that is too large is read to its end all the same, up to as much again, and thrown away:
/// most clients look at an answer only once they have sent their request. One that asked first
/// (`Expect: 100-continue`) gets the answer instead.
pub(crate) async fn read_body<B>(body: B, limit: usize, asked_first: bool) -> Result<Bytes, PayloadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(body);
    let announced = body.size_hint().lower();
    if announced <= limit as u64 {
        match whole(Limited::new(body.as_mut(), limit)).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) if !error.is::<LengthLimitError>() => {
                return Err(PayloadError::Interrupted(error.to_string()));
            }
            Err(_) => {}
        }
    } else if asked_first {
        return Err(PayloadError::TooLarge { limit });
    }
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > 2 * limit {
            break;
        }
    }
    Err(PayloadError::TooLarge { limit })
}

/// All of a body in one piece: the one that it came in, if that is all.
async fn whole<B>(mut body: B) -> Result<Bytes, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let Some(first) = (&mut body).into_data_stream().next().await.transpose()? else {
        return Ok(Bytes::new());
    };
    let rest = body.size_hint();
    if rest.exact() == Some(0) {
        return Ok(first);
    }
    let mut all = BytesMut::with_capacity(first.len() + rest.lower() as usize);
    all.extend_from_slice(&first);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await.transpose()? {
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// Turns a body into text as [`to_text`] does, a large one off the I/O threads.
pub(crate) async fn decode(body: Bytes) -> Result<Utf8Bytes, PayloadError> {
    if body.len() <= LARGE {
        return to_text(body);
    }
    let decoded = tokio::task::spawn_blocking(move || to_text(body)).await;
    decoded.unwrap_or_else(|error| Err(PayloadError::Interrupted(error.to_string())))
}

/// Turns a body into text, without a byte-order mark. Like JSON readers of old it accepts UTF-16
/// and UTF-32, with a byte-order mark or without.
///
/// That it is text is found out once and as a whole, which takes a fraction of checking it string
/// by string. Nothing is copied that is UTF-8 already.
fn to_text(body: Bytes) -> Result<Utf8Bytes, PayloadError> {
    let encoding = detect(&body);
    match encoding {
        Encoding::Utf8 { skip } => {
            let not_text = |error| PayloadError::Encoding(format!("not UTF-8: {error}"));
            Utf8Bytes::try_from(body.slice(skip..)).map_err(not_text)
        }
        Encoding::Utf16 { skip, unit } => {
            let units = body[skip..].chunks(2).map(|pair| match pair {
                &[a, b] => unit([a, b]),
                _ => 0xd800, // half a unit: no character either
            });
            collect(char::decode_utf16(units).map(Result::ok), "UTF-16")
        }
        Encoding::Utf32 { skip, unit } => {
            let chars = body[skip..].chunks(4).map(|quad| match quad {
                &[a, b, c, d] => char::from_u32(unit([a, b, c, d])),
                _ => None,
            });
            collect(chars, "UTF-32")
        }
    }
}

fn collect(chars: impl Iterator<Item = Option<char>>, encoding: &str) -> Result<Utf8Bytes, PayloadError> {
    match chars.collect::<Option<String>>() {
        Some(text) => Ok(text.into()),
        None => Err(PayloadError::Encoding(format!(
            "not {encoding}: it looks like it, but is cut short or holds half a character"
        ))),
    }
}

#[derive(Clone, Copy)]
enum Encoding {
    Utf8 { skip: usize },
    Utf16 { skip: usize, unit: fn([u8; 2]) -> u16 },
    Utf32 { skip: usize, unit: fn([u8; 4]) -> u32 },
}

/// Tells the encoding by the byte-order mark, else by where the zeros are: JSON begins with ASCII.
fn detect(body: &[u8]) -> Encoding {
    match *body {
        [0xef, 0xbb, 0xbf, ..] => Encoding::Utf8 { skip: 3 },
        [0, 0, 0xfe, 0xff, ..] => Encoding::Utf32 { skip: 4, unit: u32::from_be_bytes },
        [0xff, 0xfe, 0, 0, ..] => Encoding::Utf32 { skip: 4, unit: u32::from_le_bytes },
        [0xfe, 0xff, ..] => Encoding::Utf16 { skip: 2, unit: u16::from_be_bytes },
        [0xff, 0xfe, ..] => Encoding::Utf16 { skip: 2, unit: u16::from_le_bytes },
        [0, 0, 0, b, ..] if b != 0 => Encoding::Utf32 { skip: 0, unit: u32::from_be_bytes },
        [a, 0, 0, 0, ..] if a != 0 => Encoding::Utf32 { skip: 0, unit: u32::from_le_bytes },
        [0, b, ..] if b != 0 => Encoding::Utf16 { skip: 0, unit: u16::from_be_bytes },
        [a, 0, ..] if a != 0 => Encoding::Utf16 { skip: 0, unit: u16::from_le_bytes },
        _ => Encoding::Utf8 { skip: 0 },
    }
}

/// Whether a payload is JSON, for when there is no handler to take it.
pub(crate) async fn check(text: Utf8Bytes) -> Result<(), PayloadError> {
    parse(text).await.map(|Checked| ())
}

/// Parses a payload, a large one off the I/O threads.
pub(super) async fn parse<P: DeserializeOwned + Send + 'static>(text: Utf8Bytes) -> Result<P, PayloadError> {
    if text.len() <= LARGE {
        return parse_now(&text);
    }
    let parsed = tokio::task::spawn_blocking(move || parse_now(&text)).await;
    parsed.unwrap_or_else(|panic| Err(PayloadError::Mismatch(format!("its deserializer panicked: {panic}"))))
}

/// Parses a payload. What is JSON does not depend on `P`: every text that a `serde_json::Value`
/// cannot hold is refused as what it is, and only of others it is said that `P` does not take them.
pub(super) fn parse_now<P: DeserializeOwned + 'static>(text: &str) -> Result<P, PayloadError> {
    let no_json = |error: serde_json::Error| PayloadError::Json(error.to_string());
    match serde_json::from_str(text) {
        Ok(payload) => strict::check_read_as::<P>(text).map(|()| payload).map_err(no_json),
        Err(error) => {
            strict::check(text).map_err(no_json)?;
            Err(PayloadError::Mismatch(error.to_string()))
        }
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ErrorBody { error, details } = self.body();
        write!(f, "{error}: {}", details.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::Value;
    use serde_json::value::RawValue;

    const TEXT: &str = r#"{"prompt":"é𝄞"}"#;

    fn parsed(bytes: Vec<u8>) -> Result<Value, String> {
        let text = to_text(bytes.into()).map_err(|error| error.to_string())?;
        parse_now(&text).map_err(|error: PayloadError| error.to_string())
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn utf32(text: &str, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
        text.chars().flat_map(|c| bytes(c.into())).collect()
    }

    #[test]
    fn every_encoding_that_json_readers_know_is_understood_with_and_without_its_mark() {
        let expected: Value = serde_json::from_str(TEXT).unwrap();
        for text in [TEXT.to_owned(), format!("\u{feff}{TEXT}")] {
            for bytes in [
                text.clone().into_bytes(),
                utf16(&text, u16::to_le_bytes),
                utf16(&text, u16::to_be_bytes),
                utf32(&text, u32::to_le_bytes),
                utf32(&text, u32::to_be_bytes),
            ] {
                assert_eq!(parsed(bytes.clone()).as_ref(), Ok(&expected), "{bytes:?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_an_encoding_error() {
        let mut cut = utf16(TEXT, u16::to_le_bytes);
        cut.pop();
        for bytes in [b"{\"a\":\"\xff\"}".to_vec(), cut, vec![0xff, 0xfe, 0x00, 0xd8]] {
            let error = parsed(bytes).unwrap_err();
            assert!(error.starts_with("Invalid encoding: "), "{error}");
        }
    }

    #[test]
    fn text_that_is_no_json_is_a_json_error() {
        let deep = "[".repeat(100_000);
        let long = "9".repeat(5_000);
        for text in ["", "{", "nope", r#""\ud800""#, "{} {}", "NaN", &deep, &long] {
            let error = parsed(text.into()).unwrap_err();
            assert!(error.starts_with("Invalid JSON: "), "{error}");
        }
    }

    #[test]
    fn what_is_no_json_is_that_for_every_type() {
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(default)]
        struct Event {
            prompt: String,
        }
        let deep = "[".repeat(128) + &"]".repeat(128);
        for ignored in [r#""\ud800""#, "1e400", &deep, "nope"] {
            for text in
                [format!(r#"{{"ignored":{ignored}}}"#), format!(r#"{{"prompt":1,"ignored":{ignored}}}"#)]
            {
                let error = parse_now::<Event>(&text).unwrap_err();
                let of_value = parse_now::<Value>(&text).unwrap_err();
                assert!(matches!(error, PayloadError::Json(_)), "{text}: {error}");
                assert_eq!(error.to_string(), of_value.to_string());
            }
        }
        let event = parse_now::<Event>(r#"{"prompt":"hi","ignored":[1.5,"\u00e9"]}"#).unwrap();
        assert_eq!(event.prompt, "hi");
        assert!(matches!(parse_now::<Event>(r#"{"prompt":1}"#), Err(PayloadError::Mismatch(_))));
    }

    #[test]
    fn json_of_another_shape_says_what_is_missing() {
        #[derive(Debug, serde::Deserialize)]
        struct Event {
            #[allow(dead_code)]
            prompt: String,
        }
        let error = parse_now::<Event>("{}").unwrap_err();
        assert_eq!(error.to_string(), "Invalid payload: missing field `prompt` at line 1 column 2");
    }

    /// What is JSON is that for every type, and is written again as `serde_json` writes it.
    #[test]
    fn fuzz_payload() {
        bolero::check!(name = "payload").with_iterations(500).for_each(|input: &[u8]| {
            let Ok(text) = to_text(Bytes::copy_from_slice(input)) else { return };
            let value = parse_now::<Value>(&text);
            let others = [
                parse_now::<IgnoredAny>(&text).map(drop),
                parse_now::<Box<RawValue>>(&text).map(drop),
                parse_now::<Checked>(&text).map(drop),
            ];
            match value {
                Ok(value) => {
                    assert!(others.iter().all(Result::is_ok));
                    assert_eq!(value.render().unwrap(), serde_json::to_vec(&value).unwrap());
                }
                Err(_) => {
                    assert!(others.iter().all(|other| matches!(other, Err(PayloadError::Json(_)))));
                }
            }
        });
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = parsed(bytes);
        }

        #[test]
        fn any_json_text_survives_any_encoding(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            let expected = Ok(Value::String(text));
            prop_assert_eq!(&parsed(utf16(&json, u16::to_be_bytes)), &expected);
            prop_assert_eq!(&parsed(utf32(&json, u32::to_le_bytes)), &expected);
            prop_assert_eq!(&parsed(json.into_bytes()), &expected);
        }
    }
}
