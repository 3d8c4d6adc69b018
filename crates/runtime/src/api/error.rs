//! What goes wrong on the way to an answer, and the one place that maps it to HTTP. The caller
//! learns what helps; what only the operator should know stays in the log.

use std::sync::Arc;

use agentcore_protocol::agent::MAX_PAYLOAD_BYTES;
use agentcore_protocol::error::ErrorBody;
use agentcore_protocol::ids::InvalidSessionId;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::proxy::ExchangeError;
use crate::invocations::{State, Unreceived};
use crate::registry::UploadError;
use crate::session::reason::StopKind;
use crate::session::{Ended, NotAdmitted};
use crate::store::StoreError;

/// Why a task is not asked to end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCancelled {
    #[error("The task is not running: it is {0}")]
    NotRunning(&'static str),
    #[error("This agent's SDK cannot cancel tasks")]
    Unable,
    #[error("The agent cannot be told to end the task")]
    NotTold(String),
}

/// Why the host, not the agent, answers with an error.
#[derive(Debug)]
pub(crate) enum ApiError {
    BadSessionId(InvalidSessionId),
    BadRequest(&'static str),
    Forbidden(&'static str),
    /// A visitor wants more than to invoke; how they get it.
    Unproven(Arc<str>),
    UnknownAgent(String),
    NoDefaultAgent(Vec<String>),
    NotAdmitted(NotAdmitted),
    /// The principal has made so many requests within a second.
    TooOften(u32),
    DidNotStart(Ended),
    Exchange(ExchangeError),
    /// The session ended while the agent worked on the answer.
    EndedMidway(Ended),
    UnknownSession,
    NotRunning,
    /// A query that cannot be read, and why.
    BadQuery(String),
    UnknownTask,
    NotCancelled(NotCancelled),
    NoSuchPath,
    MethodNotAllowed,
    /// A key that is none.
    BadKey,
    /// The key came with another request before.
    KeyReused,
    UnknownInvocation,
    /// It has not ended, and so cannot be removed.
    StillRuns(&'static str),
    /// An SDK made the same call before, and waits for its answer.
    AlreadyCalled,
    /// It has ended in this state, and so cannot be cancelled.
    HasEnded(State),
    /// It has ended in this state, for this reason, without an answer.
    Unanswered(State, Option<String>),
    /// The caller claims to have seen this item, and there are only so many.
    BadLastEventId {
        seen: u64,
        there: u64,
    },
    /// The disk has no room for what would be acknowledged.
    DiskFull,
    Store(StoreError),
    Log(std::io::Error),
    Upload(UploadError),
    Files(std::io::Error),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Upload(UploadError::Root(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadSessionId(_) | Self::BadRequest(_) | Self::BadQuery(_) | Self::Upload(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Forbidden(_) | Self::Unproven(_) => StatusCode::FORBIDDEN,
            Self::UnknownAgent(_)
            | Self::NoDefaultAgent(_)
            | Self::UnknownSession
            | Self::UnknownTask
            | Self::NotRunning => StatusCode::NOT_FOUND,
            Self::NotCancelled(NotCancelled::NotRunning(_)) => StatusCode::CONFLICT,
            Self::NotCancelled(NotCancelled::Unable) => StatusCode::NOT_IMPLEMENTED,
            Self::NotCancelled(NotCancelled::NotTold(_)) => StatusCode::BAD_GATEWAY,
            Self::NotAdmitted(NotAdmitted::UnknownAgent(_)) | Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NotAdmitted(NotAdmitted::ShuttingDown) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotAdmitted(_) | Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Exchange(ExchangeError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Exchange(ExchangeError::Incomplete) => StatusCode::BAD_REQUEST,
            Self::Exchange(ExchangeError::TooSlow(_)) => StatusCode::GATEWAY_TIMEOUT,
            Self::DidNotStart(_) | Self::EndedMidway(_) | Self::Exchange(_) => StatusCode::BAD_GATEWAY,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadKey | Self::BadLastEventId { .. } => StatusCode::BAD_REQUEST,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UnknownInvocation => StatusCode::NOT_FOUND,
            Self::AlreadyCalled
            | Self::StillRuns(_)
            | Self::HasEnded(_)
            | Self::Unanswered(State::Cancelled, _) => StatusCode::CONFLICT,
            Self::Unanswered(..) => StatusCode::BAD_GATEWAY,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::Store(_) | Self::Log(_) | Self::Files(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Tells the operator what only they can mend.
    pub(super) fn log(&self) {
        match self {
            Self::Store(error) => tracing::error!(error = %error, "the store failed a request"),
            Self::Upload(error) => tracing::warn!(error = %error, "an upload was not taken"),
            Self::Log(error) => tracing::error!(error = %error, "cannot read a log"),
            Self::Files(error) => tracing::error!(error = %error, "cannot use a file of an invocation"),
            Self::DiskFull => tracing::error!("the disk is full: an invocation was not accepted"),
            _ => {}
        }
    }

    /// What the caller is told.
    pub(super) fn body(&self) -> ErrorBody<'static> {
        match self {
            Self::BadSessionId(error) => ErrorBody::new("Bad session id").with_details(error.to_string()),
            Self::BadRequest(what) => ErrorBody::new(*what),
            Self::Upload(error) => ErrorBody::new(error.to_string()),
            Self::Forbidden(why) => ErrorBody::new("Forbidden").with_details(*why),
            Self::Unproven(how) => ErrorBody::new("Forbidden").with_details(how.to_string()),
            Self::UnknownAgent(name) => unknown_agent(name),
            Self::NoDefaultAgent(names) if names.is_empty() => ErrorBody::new("This host serves no agent")
                .with_details("launch one with: agentcore launch -l"),
            Self::NoDefaultAgent(names) => ErrorBody::new("No default agent")
                .with_details(format!("name one with ?agent=NAME; there are: {}", names.join(", "))),
            Self::NotAdmitted(NotAdmitted::UnknownAgent(name)) => unknown_agent(name),
            Self::NotAdmitted(why) => ErrorBody::new(why.to_string()),
            Self::TooOften(limit) => ErrorBody::new(too_often(*limit)),
            Self::DidNotStart(ended) if ended.reason.kind == StopKind::StartupFailed => {
                explained(format!("The agent did not start: {}", ended.reason.detail), ended)
            }
            Self::DidNotStart(ended) => {
                explained(format!("The session ended before it could answer: {}", ended.reason), ended)
            }
            Self::EndedMidway(ended) => {
                explained(format!("The session ended before it answered: {}", ended.reason), ended)
            }
            Self::Exchange(ExchangeError::TooLarge) => ErrorBody::new("Payload too large")
                .with_details(format!("a payload may have {MAX_PAYLOAD_BYTES} bytes")),
            Self::Exchange(error) => match error.details() {
                Some(details) => ErrorBody::new(error.to_string()).with_details(details),
                None => ErrorBody::new(error.to_string()),
            },
            Self::UnknownSession => ErrorBody::new("Unknown session").with_details(
                "nothing is on record for this session id and agent; agentcore sessions lists what is",
            ),
            Self::NotRunning => ErrorBody::new("The session is not running")
                .with_details("it has stopped already, or never began"),
            Self::BadKey => ErrorBody::new("Bad Idempotency-Key").with_details(
                "send one, of 1 to 255 visible ASCII characters but double quotes, which may be around it",
            ),
            Self::KeyReused => ErrorBody::new("This Idempotency-Key came with another request before")
                .with_details("use a new key for another payload or session"),
            Self::UnknownInvocation => ErrorBody::new("Unknown invocation").with_details(
                "nothing is on record under this id: it never was, was removed or is past its time, or is \
                 another caller's",
            ),
            Self::AlreadyCalled => {
                ErrorBody::new("This call was made without `Prefer: respond-async` before")
                    .with_details("send it as it was, to hear its answer")
            }
            Self::StillRuns(what) => {
                ErrorBody::new(format!("The {what} has not ended")).with_details("cancel it first")
            }
            Self::HasEnded(state) => {
                ErrorBody::new(format!("The invocation has ended: it is {}", state.as_str()))
            }
            Self::Unanswered(state, reason) => {
                let body = ErrorBody::new(format!("The invocation is {}, without an answer", state.as_str()));
                match reason {
                    Some(reason) => body.with_details(reason.clone()),
                    None => body,
                }
            }
            Self::BadLastEventId { seen, there } => {
                ErrorBody::new(format!("There is no item {seen} to go on after: there are {there}"))
                    .with_details(
                        "send the id of the last event you have seen, or none to begin at the first",
                    )
            }
            Self::DiskFull => ErrorBody::new("The host's disk is full")
                .with_details("nothing was accepted: make room in its state folder, then try again"),
            Self::UnknownTask => ErrorBody::new("Unknown task").with_details(
                "no such task is on record, or not any more; agentcore tasks list has those that are",
            ),
            Self::NotCancelled(why) => not_cancelled(why),
            Self::BadQuery(why) => ErrorBody::new("The query cannot be read").with_details(why.clone()),
            Self::NoSuchPath => ErrorBody::new("Not Found"),
            Self::MethodNotAllowed => ErrorBody::new("Method Not Allowed"),
            Self::Store(_) | Self::Log(_) | Self::Files(_) => {
                ErrorBody::new("Internal error").with_details("the host's log tells what went wrong")
            }
        }
    }
}

/// What somebody is told who asks too often.
pub(super) fn too_often(limit: u32) -> String {
    format!("you have made {limit} requests within a second, as many as you may: try again in a second")
}

fn unknown_agent(name: &str) -> ErrorBody<'static> {
    ErrorBody::new(format!("There is no agent {name:?}"))
        .with_details("GET /_agentcore/v1/agents lists those there are")
}

fn not_cancelled(why: &NotCancelled) -> ErrorBody<'static> {
    let body = ErrorBody::new(why.to_string());
    match why {
        NotCancelled::NotRunning(_) => body,
        NotCancelled::Unable => body.with_details(
            "the Rust SDK and this project's Python package can; otherwise stop the session: agentcore stop-session",
        ),
        NotCancelled::NotTold(problem) => body.with_details(problem.clone()),
    }
}

fn explained(message: String, ended: &Ended) -> ErrorBody<'static> {
    match &ended.last_words {
        Some(log) => ErrorBody::new(message).with_details(log.clone()),
        None => ErrorBody::new(message),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let status = self.status();
        let mut response = (status, Json(self.body())).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::BadQuery(rejection.body_text())
    }
}

impl From<InvalidSessionId> for ApiError {
    fn from(error: InvalidSessionId) -> Self {
        Self::BadSessionId(error)
    }
}

impl From<NotAdmitted> for ApiError {
    fn from(error: NotAdmitted) -> Self {
        Self::NotAdmitted(error)
    }
}

impl From<ExchangeError> for ApiError {
    fn from(error: ExchangeError) -> Self {
        Self::Exchange(error)
    }
}

impl From<Unreceived> for ApiError {
    fn from(error: Unreceived) -> Self {
        match error {
            Unreceived::TooLarge => Self::Exchange(ExchangeError::TooLarge),
            Unreceived::Incomplete => Self::Exchange(ExchangeError::Incomplete),
            full if full.is_full() => Self::DiskFull,
            Unreceived::Disk(error) => Self::Files(error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_full() { Self::DiskFull } else { Self::Store(error) }
    }
}
