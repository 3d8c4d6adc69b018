//! The answer to somebody who may not call.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::jwt::JwtError;
use crate::keys::KeyError;
use crate::sigv4::SigV4Error;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

const VALIDATION: &str = "ValidationException";

/// Why a request is not let in, as its caller is told: an error of AWS's API. It has no secrets in it,
/// and nothing of a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Refusal {
    status: StatusCode,
    error: &'static str,
    message: String,
    /// Why a request is not valid, as the API has it.
    reason: Option<&'static str>,
    /// What of it is not.
    field: Option<&'static str>,
    challenge: Option<HeaderValue>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into(), reason: None, field: None, challenge: None }
    }

    /// The body cannot be read.
    pub(crate) fn unreadable(status: StatusCode, message: &str) -> Self {
        Self { reason: Some("CannotParse"), ..Self::new(status, VALIDATION, message) }
    }

    /// The body is larger than `most` bytes.
    pub(crate) fn too_large(most: usize) -> Self {
        let message = format!("a payload may have {most} bytes");
        let refusal = Self::new(StatusCode::BAD_REQUEST, VALIDATION, message);
        Self { reason: Some("FieldValidationFailed"), field: Some("payload"), ..refusal }
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDeniedException", message)
    }

    /// A token is asked for; `metadata` tells where clients learn who issues them.
    pub(crate) fn challenge(message: impl Into<String>, metadata: &str) -> Self {
        let challenge = format!("Bearer resource_metadata=\"{metadata}\"");
        Self {
            challenge: HeaderValue::try_from(challenge).ok(),
            ..Self::new(StatusCode::UNAUTHORIZED, "UnauthorizedException", message)
        }
    }

    pub(crate) fn of_token(error: &JwtError, metadata: &str) -> Self {
        match error {
            JwtError::Issuer(reason) => {
                tracing::error!(error = %reason, "an issuer cannot be asked for its keys");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerException", error.to_string())
            }
            error if error.is_forbidden() => Self::denied(error.to_string()),
            error => Self::challenge(error.to_string(), metadata),
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The name of the error, as AWS's clients know it.
    pub fn error(&self) -> &'static str {
        self.error
    }

    /// What the caller is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The answer.
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let mut body = serde_json::json!({"message": self.message});
        if let Some(reason) = self.reason {
            body["reason"] = reason.into();
        }
        if let Some(field) = self.field {
            body["fieldList"] = serde_json::json!([{"name": field, "message": self.message}]);
        }
        let body = body.to_string();
        let mut response = Response::new(B::from(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.error));
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<SigV4Error> for Refusal {
    fn from(error: SigV4Error) -> Self {
        Self::denied(error.to_string())
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        // What is wrong with the file is for the operator.
        tracing::error!(error = %error, "access keys cannot be read, so nobody who signs gets in");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerException",
            "the host cannot read its access keys",
        )
    }
}
