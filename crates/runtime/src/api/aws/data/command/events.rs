//! Events as AWS's clients read them.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::{Bytes, BytesMut};
use serde::Serialize;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Status {
    Completed,
    TimedOut,
}

/// What happens to a command. Each is a member of the event `chunk`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) enum Chunk {
    #[serde(rename = "contentStart")]
    Start {},
    #[serde(rename = "contentDelta")]
    Delta(Delta),
    #[serde(rename = "contentStop", rename_all = "camelCase")]
    Stop { exit_code: i32, status: Status },
}

/// What a command wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Delta {
    Stdout(String),
    Stderr(String),
}

impl Chunk {
    pub(super) fn encode(&self) -> Bytes {
        frame(&[(":message-type", "event"), (":event-type", "chunk")], self)
    }
}

/// The stream ends here, with an error of the host.
pub(super) fn internal_error(message: &str) -> Bytes {
    let kind = [(":message-type", "exception"), (":exception-type", "internalServerException")];
    frame(&kind, &serde_json::json!({ "message": message }))
}

fn frame(headers: &[(&'static str, &'static str)], payload: &impl Serialize) -> Bytes {
    let payload = serde_json::to_vec(payload).unwrap_or_default();
    let message = headers
        .iter()
        .chain(&[(":content-type", "application/json")])
        .map(|(name, value)| Header::new(*name, HeaderValue::String((*value).into())))
        .fold(Message::new(payload), Message::add_header);
    let mut bytes = BytesMut::new();
    // Only lengths beyond four gigabytes cannot be written.
    if let Err(error) = write_message_to(&message, &mut bytes) {
        tracing::error!(error = %error, "an event cannot be written");
    }
    bytes.freeze()
}

/// Bytes that come in pieces, as text: a character that is cut waits for its rest, and what is no
/// text at all is replaced.
#[derive(Default)]
pub(super) struct Text {
    cut: Vec<u8>,
}

impl Text {
    /// As much of `piece`, and what was left before it, as is whole.
    pub(super) fn push(&mut self, piece: &[u8]) -> String {
        self.cut.extend_from_slice(piece);
        let whole = match self.cut.utf8_chunks().last() {
            // Only at the very end may bytes be the beginning of a character.
            Some(last) if is_beginning(last.invalid()) => self.cut.len() - last.invalid().len(),
            _ => self.cut.len(),
        };
        let rest = self.cut.split_off(whole);
        let text = String::from_utf8_lossy(&self.cut).into_owned();
        self.cut = rest;
        text
    }

    /// What was cut for good.
    pub(super) fn end(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.cut)).into_owned()
    }
}

/// Whether a character may begin with these bytes.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, read_message_from};
    use proptest::prelude::*;

    fn payload(bytes: Bytes) -> (Vec<String>, serde_json::Value) {
        let message = read_message_from(bytes).unwrap();
        let values =
            message.headers().iter().map(|header| header.value().as_string().unwrap().as_str().to_owned());
        (values.collect(), serde_json::from_slice(message.payload()).unwrap())
    }

    #[test]
    fn events_have_the_form_of_the_model() {
        let shown = |chunk: Chunk| payload(chunk.encode()).1;
        assert_eq!(shown(Chunk::Start {}), serde_json::json!({"contentStart": {}}));
        assert_eq!(
            shown(Chunk::Delta(Delta::Stderr("no".into()))),
            serde_json::json!({"contentDelta": {"stderr": "no"}})
        );
        let (headers, stop) = payload(Chunk::Stop { exit_code: 7, status: Status::TimedOut }.encode());
        assert_eq!(stop, serde_json::json!({"contentStop": {"exitCode": 7, "status": "TIMED_OUT"}}));
        assert_eq!(headers, ["event", "chunk", "application/json"]);
        let (headers, error) = payload(internal_error("gone"));
        assert_eq!(headers, ["exception", "internalServerException", "application/json"]);
        assert_eq!(error, serde_json::json!({"message": "gone"}));
    }

    proptest! {
        #[test]
        fn text_survives_being_cut_anywhere(text in "\\PC{0,40}", cuts in prop::collection::vec(0usize..200, 0..8)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut whole = Text::default();
            let mut read: String = cuts.windows(2).map(|cut| whole.push(&bytes[cut[0]..cut[1]])).collect();
            read.push_str(&whole.end());
            prop_assert_eq!(read, text);
        }

        #[test]
        fn nothing_that_is_no_text_is_held_back(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut text = Text::default();
            let read = text.push(&bytes) + &text.end();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }
    }

    /// What was said in an event stream that comes in pieces of `size` bytes.
    fn decoded(stream: &[u8], size: usize) -> Vec<serde_json::Value> {
        let mut decoder = MessageFrameDecoder::new();
        let mut arrived = BytesMut::new();
        let mut said = Vec::new();
        for piece in stream.chunks(size) {
            arrived.extend_from_slice(piece);
            while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut arrived).unwrap() {
                said.push(serde_json::from_slice(message.payload()).unwrap());
            }
        }
        assert!(arrived.is_empty(), "{} bytes are no event", arrived.len());
        said
    }

    /// Whatever a command writes, and however it is cut on the way, AWS's decoder reads all of it.
    #[test]
    fn fuzz_event_stream() {
        bolero::check!(name = "event_stream").with_iterations(200).for_each(|input: &[u8]| {
            let [cut, size, output @ ..] = input else { return };
            let (cut, size) = (usize::from(*cut).max(1), usize::from(*size).max(1));
            let (mut texts, mut stream) = ([Text::default(), Text::default()], Vec::new());
            let delta = |pipe: usize, text| Chunk::Delta([Delta::Stdout, Delta::Stderr][pipe](text)).encode();
            for (index, piece) in output.chunks(cut).enumerate() {
                stream.extend(delta(index % 2, texts[index % 2].push(piece)));
            }
            for (pipe, text) in texts.iter_mut().enumerate() {
                stream.extend(delta(pipe, text.end()));
            }
            let events = decoded(&stream, size);
            for (pipe, name) in ["stdout", "stderr"].into_iter().enumerate() {
                let written: Vec<u8> = output.chunks(cut).skip(pipe).step_by(2).flatten().copied().collect();
                let read: String =
                    events.iter().filter_map(|event| event["contentDelta"][name].as_str()).collect();
                assert_eq!(read, String::from_utf8_lossy(&written));
            }
        });
    }
}
