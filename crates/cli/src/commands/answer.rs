//! What comes back from an invocation.

use agentcore_protocol::headers;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::client::model::ErrorBody;
use crate::client::sse::EventReader;
use crate::client::{ClientError, is_event_stream};
use crate::failure::Failure;
use crate::output;

/// What to show where the caller is the matter.
const CALLER_HINT: &str = "show who you are as the agent asks: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of a key that \
                           may invoke it (`agentcore keys create`), or a token of its issuer with --bearer-token";

/// Where to look when an agent of a host failed. Whoever reads it may have several agents, and another session
/// by then.
pub(super) fn logs_hint(agent: Option<&str>, session: Option<&str>) -> String {
    let mut command = "agentcore logs".to_owned();
    for (flag, value) in [("-a", agent), ("-s", session)] {
        command.extend(value.map(|value| format!(" {flag} {value}")));
    }
    format!("`{command}` shows what the agent wrote")
}

/// Prints an answer as it comes. A stream that the agent broke off with an error fails, with this hint.
pub(super) async fn print(response: Response<Incoming>, hint: Option<String>) -> anyhow::Result<()> {
    if is_event_stream(&response) { print_events(response, hint).await } else { print_body(response).await }
}

/// One line per item of a stream.
async fn print_events(response: Response<Incoming>, hint: Option<String>) -> anyhow::Result<()> {
    let mut body = response.into_body();
    let mut reader = EventReader::default();
    let mut last = None;
    let mut print = |event: String| {
        output::bytes(format!("{event}\n").as_bytes())?;
        last = Some(event);
        Ok::<_, anyhow::Error>(())
    };
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.map_err(|_| ClientError::CutShort)?.into_data() {
            reader.feed(&bytes).into_iter().try_for_each(&mut print)?;
        }
    }
    reader.finish().into_iter().try_for_each(&mut print)?;
    match last.as_deref().and_then(stream_error) {
        Some(error) => {
            Err(Failure::new(format!("the agent failed in mid-stream: {error}")).hints(hint).into())
        }
        None => Ok(()),
    }
}

/// The bytes as they are, and an end of line for the terminal's sake.
async fn print_body(response: Response<Incoming>) -> anyhow::Result<()> {
    let mut body = response.into_body();
    let mut ends_line = true;
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.map_err(|_| ClientError::CutShort)?.into_data() {
            output::bytes(&bytes)?;
            ends_line = bytes.last().map_or(ends_line, |byte| *byte == b'\n');
        }
    }
    if !ends_line {
        output::bytes(b"\n")?;
    }
    Ok(())
}

/// The error that ends a stream which failed.
pub(super) fn stream_error(event: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(event).ok()?;
    let is_error =
        value["error_type"].is_string() && value["message"] == "An error occurred during streaming";
    is_error.then(|| value["error"].as_str().map(str::to_owned)).flatten()
}

/// An answer that is no success: its message, and what to do; `unknown_hint` if the host does not know the agent,
/// `logs_hint` if the agent failed.
pub(super) async fn refusal(
    response: Response<Incoming>,
    unknown_hint: Option<String>,
    logs_hint: Option<String>,
) -> Failure {
    let status = response.status();
    let by_the_host = response.headers().get(headers::INVOCATION_ID).is_none();
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    let message = match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { error, details: Some(details) }) => format!("{error}\n{details}"),
        Ok(ErrorBody { error, details: None }) => error,
        Err(_) if text.is_empty() => "(empty answer)".to_owned(),
        Err(_) if text.starts_with('<') => "a web page answers, not an agent".to_owned(),
        Err(_) => text,
    };
    let failure = Failure::new(format!("{message} ({status})"));
    match (status.as_u16(), unknown_hint) {
        (404, Some(hint)) if by_the_host => failure.hint(hint),
        (401 | 403, _) if by_the_host => failure.hint(CALLER_HINT),
        (400 | 413 | 429, _) => failure,
        _ => failure.hints(logs_hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_of_the_very_session_are_named() {
        let hint = logs_hint(Some("writer"), Some("s-1"));
        assert_eq!(hint, "`agentcore logs -a writer -s s-1` shows what the agent wrote");
        assert_eq!(logs_hint(None, None), "`agentcore logs` shows what the agent wrote");
    }

    #[test]
    fn only_the_last_word_of_a_broken_stream_is_an_error() {
        let broken =
            r#"{"error":"boom","error_type":"ValueError","message":"An error occurred during streaming"}"#;
        assert_eq!(stream_error(broken).as_deref(), Some("boom"));
        assert_eq!(stream_error(r#"{"error":"boom"}"#), None);
        assert_eq!(stream_error("\"text\""), None);
        assert_eq!(stream_error("no json"), None);
    }
}
