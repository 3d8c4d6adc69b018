//! Which headers go towards the agent, and which come back.

use agentcore_protocol::headers::{
    BAGGAGE, CUSTOM_PREFIX, REQUEST_ID, SESSION_ID, TRACEPARENT, TRACESTATE, USER_ID,
};
use agentcore_protocol::{InvocationId, SessionId};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

// Made at compile time: a name that is looked up as text is parsed each time.
const SESSION: HeaderName = HeaderName::from_static(SESSION_ID);
const REQUEST: HeaderName = HeaderName::from_static(REQUEST_ID);

/// What a caller may say to an agent, beside the author's own `...-Custom-*`. Anything else stays
/// with the host: an agent must not depend on what a platform would not pass on.
fn reaches_agent(name: &HeaderName) -> bool {
    const PASSED: [&str; 12] = [
        "content-type",
        "accept",
        USER_ID,
        REQUEST_ID,
        "mcp-session-id",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "x-amzn-trace-id",
        TRACEPARENT,
        TRACESTATE,
        BAGGAGE,
    ];
    PASSED.contains(&name.as_str()) || name.as_str().starts_with(CUSTOM_PREFIX)
}

/// The headers of a request to an agent.
pub(crate) fn agent_headers(caller: &HeaderMap, session: &SessionId, invocation: InvocationId) -> HeaderMap {
    // As many as most have; a map for more takes twice the room.
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    for (name, value) in caller.iter().filter(|(name, _)| reaches_agent(name)) {
        headers.append(name, value.clone());
    }
    // A session id is visible ASCII, so it is always a header value.
    if let Ok(value) = HeaderValue::from_str(session.as_str()) {
        headers.insert(SESSION, value);
    }
    if !headers.contains_key(REQUEST)
        && let Some(value) = id_value(invocation)
    {
        headers.insert(REQUEST, value);
    }
    headers
}

/// An id as the value of a header.
pub(crate) fn id_value(id: InvocationId) -> Option<HeaderValue> {
    let mut buffer = Uuid::encode_buffer();
    HeaderValue::from_str(id.uuid().hyphenated().encode_lower(&mut buffer)).ok()
}

/// Removes from an agent's answer what belongs to its connection alone.
pub(crate) fn answer_headers(headers: &mut HeaderMap) {
    static HOP_BY_HOP: [HeaderName; 8] = [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    // Most answers have none, and few headers: to look each of these up would cost more.
    if headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
}

/// Whether an answer is a stream of server-sent events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(sent: &[(&'static str, &'static str)]) -> HeaderMap {
        let sent: HeaderMap = sent
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let session = SessionId::from(Uuid::nil());
        let invocation = "0190163d-8694-739b-aea5-966c26f8ad91".parse().unwrap();
        agent_headers(&sent, &session, invocation)
    }

    #[test]
    fn the_strict_list_passes_and_nothing_else() {
        let headers = passed(&[
            ("content-type", "application/json"),
            ("mcp-session-id", "m"),
            ("traceparent", "t"),
            ("x-amzn-bedrock-agentcore-runtime-custom-tenant", "blue"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-team", "red"),
            ("content-encoding", "gzip"),
            ("host", "localhost:8080"),
        ]);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "content-type",
                "host",
                "mcp-session-id",
                "traceparent",
                "x-amzn-bedrock-agentcore-runtime-custom-tenant",
                REQUEST_ID,
                SESSION_ID,
            ]
        );
        assert_eq!(headers["host"], "localhost");
    }

    #[test]
    fn a_callers_request_id_is_kept_and_a_missing_one_is_the_invocations() {
        assert_eq!(passed(&[(REQUEST_ID, "mine")])[REQUEST_ID], "mine");
        assert_eq!(passed(&[])[REQUEST_ID], "0190163d-8694-739b-aea5-966c26f8ad91");
    }
}
