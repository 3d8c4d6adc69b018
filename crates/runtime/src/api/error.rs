//! What goes wrong on the way to an answer, and the one place that maps it to HTTP. The caller
//! learns what helps; what only the operator should know stays in the log.

use agentcore_protocol::agent::MAX_PAYLOAD_BYTES;
use agentcore_protocol::error::ErrorBody;
use agentcore_protocol::ids::InvalidSessionId;
use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::proxy::ExchangeError;
use super::query::Unreadable;
use crate::session::reason::StopKind;
use crate::session::{Ended, NotAdmitted};
use crate::store::StoreError;

/// Why the host, not the agent, answers with an error.
#[derive(Debug)]
pub(crate) enum ApiError {
    BadSessionId(InvalidSessionId),
    BadRequest(&'static str),
    Forbidden(&'static str),
    UnknownAgent(String),
    NoDefaultAgent(Vec<String>),
    NotAdmitted(NotAdmitted),
    DidNotStart(Ended),
    Exchange(ExchangeError),
    /// The session ended while the agent worked on the answer.
    EndedMidway(Ended),
    UnknownSession,
    NotRunning,
    NoSuchPath,
    MethodNotAllowed,
    Store(StoreError),
    Log(std::io::Error),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadSessionId(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::UnknownAgent(_) | Self::NoDefaultAgent(_) | Self::UnknownSession | Self::NotRunning => {
                StatusCode::NOT_FOUND
            }
            Self::NotAdmitted(NotAdmitted::UnknownAgent(_)) | Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NotAdmitted(NotAdmitted::ShuttingDown) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotAdmitted(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Exchange(ExchangeError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Exchange(ExchangeError::Incomplete) => StatusCode::BAD_REQUEST,
            Self::Exchange(ExchangeError::TooSlow(_)) => StatusCode::GATEWAY_TIMEOUT,
            Self::DidNotStart(_) | Self::EndedMidway(_) | Self::Exchange(_) => StatusCode::BAD_GATEWAY,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Store(_) | Self::Log(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn body(&self) -> ErrorBody<'static> {
        match self {
            Self::BadSessionId(error) => ErrorBody::new("Bad session id").with_details(error.to_string()),
            Self::BadRequest(what) => ErrorBody::new(*what),
            Self::Forbidden(why) => ErrorBody::new("Forbidden").with_details(*why),
            Self::UnknownAgent(name) => unknown_agent(name),
            Self::NoDefaultAgent(names) if names.is_empty() => ErrorBody::new("This host serves no agent")
                .with_details("launch one with: agentcore launch -l"),
            Self::NoDefaultAgent(names) => ErrorBody::new("No default agent")
                .with_details(format!("name one with ?agent=NAME; there are: {}", names.join(", "))),
            Self::NotAdmitted(NotAdmitted::UnknownAgent(name)) => unknown_agent(name),
            Self::NotAdmitted(why) => ErrorBody::new(why.to_string()),
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
            Self::NoSuchPath => ErrorBody::new("Not Found"),
            Self::MethodNotAllowed => ErrorBody::new("Method Not Allowed"),
            Self::Store(_) | Self::Log(_) => {
                ErrorBody::new("Internal error").with_details("the host's log tells what went wrong")
            }
        }
    }
}

fn unknown_agent(name: &str) -> ErrorBody<'static> {
    ErrorBody::new(format!("There is no agent {name:?}"))
        .with_details("GET /_agentcore/v1/agents lists those there are")
}

fn explained(message: String, ended: &Ended) -> ErrorBody<'static> {
    match &ended.last_words {
        Some(log) => ErrorBody::new(message).with_details(log.clone()),
        None => ErrorBody::new(message),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match &self {
            Self::Store(error) => tracing::error!(error = %error, "the store failed a request"),
            Self::Log(error) => tracing::error!(error = %error, "cannot read a log"),
            _ => {}
        }
        let status = self.status();
        let mut response = (status, Json(self.body())).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Unreadable> for ApiError {
    fn from(_: Unreadable) -> Self {
        Self::BadRequest("The query cannot be read")
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

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
