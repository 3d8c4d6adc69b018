//! Agents that answer with more than a few bytes.

use std::sync::OnceLock;

use bedrock_agentcore::{App, Body, Response};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// Items of a stream.
pub(crate) const ITEMS: u64 = 1_000;
/// Bytes of a large body.
pub(super) const LARGE: usize = 10_000_000;

/// The body of the hidden command: an agent that answers with items, one at a time, as those of a
/// language model come.
pub(crate) fn serve_stream() -> anyhow::Result<()> {
    async fn items(_: Value) -> impl Stream<Item = Value> {
        stream::unfold(0, async |n| {
            // Whoever is asked again before there is more to send has sent what there was.
            tokio::task::yield_now().await;
            (n < ITEMS).then(|| (json!({"token": "and then it says ", "index": n}), n + 1))
        })
    }
    Ok(App::new().entrypoint(items).run()?)
}

/// What a caller wants of the agent below.
#[derive(Deserialize)]
struct Wanted {
    large_answer: bool,
    #[serde(rename = "text")]
    _text: Option<IgnoredAny>,
}

/// The body of the hidden command: an agent that takes large payloads and gives large answers, and
/// does as little as it may with them.
pub(crate) fn serve_bulk() -> anyhow::Result<()> {
    async fn weigh(wanted: Wanted) -> Response {
        static ANSWER: OnceLock<Bytes> = OnceLock::new();
        let body = match wanted.large_answer {
            true => ANSWER.get_or_init(|| json!("x".repeat(LARGE)).to_string().into()).clone(),
            false => Bytes::from_static(b"{}"),
        };
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
    Ok(App::new().entrypoint(weigh).run()?)
}

/// The payload that the agent above answers with a large one, or a large payload.
pub(super) fn bulk_payload(large_answer: bool) -> Vec<u8> {
    let text = if large_answer { String::new() } else { "x".repeat(LARGE) };
    json!({"large_answer": large_answer, "text": text}).to_string().into_bytes()
}
