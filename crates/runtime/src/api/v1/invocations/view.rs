//! An invocation as the API shows it.

use agentcore_protocol::{IncarnationId, InvocationId, SessionId, Timestamp};
use axum::http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::invocations::{Answer, Record, State};

/// One invocation. Times are milliseconds since the Unix epoch.
#[derive(Debug, Serialize)]
pub(in crate::api) struct InvocationView {
    pub(super) id: InvocationId,
    agent: String,
    session_id: SessionId,
    incarnation: IncarnationId,
    state: State,
    accepted_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    reason: Option<String>,
    answer: Option<AnswerView>,
}

#[derive(Debug, Serialize)]
struct AnswerView {
    status: u16,
    content_type: Option<String>,
    bytes: u64,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<BodyView>,
}

/// A body that is small and can be shown.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum BodyView {
    Json(Box<RawValue>),
    Text(String),
}

impl InvocationView {
    pub(in crate::api) fn of(record: &Record) -> Self {
        Self {
            id: record.id,
            agent: record.key.agent.to_string(),
            session_id: record.key.session.clone(),
            incarnation: record.incarnation,
            state: record.state,
            accepted_at: record.accepted_at,
            started_at: record.started_at,
            ended_at: record.ended_at,
            reason: record.reason.clone(),
            answer: record.answer.as_ref().map(AnswerView::of),
        }
    }
}

impl AnswerView {
    fn of(answer: &Answer) -> Self {
        let content_type = answer.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Self {
            status: answer.head.status,
            content_type: content_type.map(str::to_owned),
            bytes: answer.bytes,
            complete: answer.complete,
            body: answer.body.as_deref().and_then(|body| BodyView::of(content_type?, body)),
        }
    }
}

impl BodyView {
    fn of(content_type: &str, body: &[u8]) -> Option<Self> {
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let text = std::str::from_utf8(body).ok()?;
        if kind == "application/json" || kind.ends_with("+json") {
            return RawValue::from_string(text.trim().to_owned()).ok().map(Self::Json);
        }
        kind.starts_with("text/").then(|| Self::Text(text.to_owned()))
    }
}
