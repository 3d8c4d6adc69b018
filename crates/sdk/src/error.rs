//! Errors: those that handlers answer with, and those of serving.

use std::error::Error as StdError;
use std::io;

use http::StatusCode;

/// An error with an HTTP status of its own.
///
/// Any error makes an answer with status 500 and `{"error": "<its message>"}`. Where another status
/// tells a caller more, return this one, by itself or anywhere within an error's chain of sources.
///
/// ```
/// use bedrock_agentcore::{App, HandlerError, StatusCode};
/// use serde_json::Value;
///
/// async fn handler(event: Value) -> anyhow::Result<Value> {
///     if event["query"].is_null() {
///         return Err(HandlerError::new(StatusCode::BAD_REQUEST, "`query` is missing").into());
///     }
///     Ok(event)
/// }
///
/// let app = App::new().entrypoint(handler);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct HandlerError {
    status: StatusCode,
    detail: String,
}

impl HandlerError {
    /// An error that is answered with `status` and `{"error": "<detail>"}`.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// The status that an error asks for, if a [`HandlerError`] is in its chain.
pub(crate) fn status_of(error: &(dyn StdError + 'static)) -> Option<StatusCode> {
    std::iter::successors(Some(error), |error: &&(dyn StdError + 'static)| (*error).source())
        .find_map(|error| error.downcast_ref::<HandlerError>())
        .map(HandlerError::status)
}

/// Why an app cannot be served.
///
/// It prints as its message in `{:?}` too, for that is how Rust reports what `main` returns.
#[derive(thiserror::Error)]
pub enum ServeError {
    /// `PORT` is no port number.
    #[error("the environment variable PORT is {0:?}: expected a number from 0 to 65535")]
    InvalidPort(String),
    /// `LISTEN_FDS` names a descriptor that is no listening TCP or Unix socket.
    #[error("the socket handed over through LISTEN_FDS cannot be used: {0}")]
    HandedOverSocket(#[source] io::Error),
    /// The address is taken, or not this machine's.
    #[error(
        "cannot listen on {address}: {source}; choose another port with `.port(...)` or the environment variable PORT"
    )]
    Bind {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The folder for the task journal cannot be used.
    #[error(
        "cannot keep a task journal in {folder}: {source}; name another folder with `.journal(...)` or the environment variable AGENTCORE_JOURNAL_DIR"
    )]
    Journal {
        /// The folder.
        folder: String,
        /// Why.
        source: io::Error,
    },
    /// Signals or the runtime cannot be set up.
    #[error("cannot set up the server: {0}")]
    Setup(#[from] io::Error),
}

impl std::fmt::Debug for ServeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
