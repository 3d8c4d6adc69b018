//! Error bodies of an agent's server.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The body of an error answer: `{"error": ..., "details": ...}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody<'a> {
    /// What went wrong.
    pub error: Cow<'a, str>,
    /// Where, or what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Cow<'a, str>>,
}

impl<'a> ErrorBody<'a> {
    /// An error without details.
    pub fn new(error: impl Into<Cow<'a, str>>) -> Self {
        Self { error: error.into(), details: None }
    }

    /// The same error with details.
    pub fn with_details(mut self, details: impl Into<Cow<'a, str>>) -> Self {
        self.details = Some(details.into());
        self
    }
}

/// `error` of a body that is not JSON.
pub const INVALID_JSON: &str = "Invalid JSON";
/// `error` of a body that is not text in a Unicode encoding.
pub const INVALID_ENCODING: &str = "Invalid encoding";
/// `error` when the app has no entrypoint.
pub const NO_ENTRYPOINT: &str = "No entrypoint defined";

/// The body for a result that cannot be turned into JSON, sent with status 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerializationFailed<'a> {
    /// Always `Serialization failed`.
    pub error: Cow<'a, str>,
    /// The type that could not be turned into JSON.
    pub original_type: Cow<'a, str>,
}

impl<'a> SerializationFailed<'a> {
    /// The body for a value of type `original_type`.
    pub fn of(original_type: impl Into<Cow<'a, str>>) -> Self {
        Self { error: Cow::Borrowed("Serialization failed"), original_type: original_type.into() }
    }
}

/// The last event of a stream that failed midway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamError<'a> {
    /// The error's message.
    pub error: Cow<'a, str>,
    /// The error's type.
    pub error_type: Cow<'a, str>,
    /// Always `An error occurred during streaming`.
    pub message: Cow<'a, str>,
}

impl<'a> StreamError<'a> {
    /// The event for an error of type `error_type`.
    pub fn new(error: impl Into<Cow<'a, str>>, error_type: impl Into<Cow<'a, str>>) -> Self {
        Self {
            error: error.into(),
            error_type: error_type.into(),
            message: Cow::Borrowed("An error occurred during streaming"),
        }
    }
}
