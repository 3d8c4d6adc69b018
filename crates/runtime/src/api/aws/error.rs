//! What goes wrong, as AWS's clients understand it: the exception's name in `x-amzn-ErrorType`, and
//! a JSON body with the message.

use agentcore_protocol::agent::MAX_PAYLOAD_BYTES;
use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::ApiError;
use crate::api::error::too_often;
use crate::api::proxy::ExchangeError;
use crate::invocations::State;
use crate::registry::RegistryError;
use crate::session::{Ended, NotAdmitted};
use crate::store::StoreError;

/// Where clients read the name of an exception.
pub(in crate::api) const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The exceptions of AWS's API that this host raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Exception {
    Validation,
    AccessDenied,
    ServiceQuotaExceeded,
    ResourceNotFound,
    Conflict,
    /// The same request may succeed at once; clients send it again by themselves.
    RetryableConflict,
    RuntimeClientError,
    Throttling,
    InternalServer,
    /// What the model calls an internal error, with the status of a gateway that waited in vain.
    GatewayTimeout,
    /// A key that is used again with another request; the model knows no keys.
    Unprocessable,
    /// What the model calls an internal error, with the status that says more.
    DiskFull,
}

/// Why a request is not valid, in AWS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Reason {
    CannotParse,
    FieldValidationFailed,
    IdempotentParameterMismatchException,
}

/// An exception with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) struct AwsError {
    pub(super) exception: Exception,
    message: String,
    reason: Option<Reason>,
    field: Option<&'static str>,
    /// A request like it would be let in later, and has reached no agent.
    pub(super) ran_nothing: bool,
}

/// The body of an answer with an exception.
#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(rename = "fieldList", skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field<'a>>,
}

#[derive(Serialize)]
struct Field<'a> {
    name: &'a str,
    message: &'a str,
}

impl Exception {
    /// The name by which clients catch it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Validation | Self::Unprocessable => "ValidationException",
            Self::AccessDenied => "AccessDeniedException",
            Self::ServiceQuotaExceeded => "ServiceQuotaExceededException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Conflict => "ConflictException",
            Self::RetryableConflict => "RetryableConflictException",
            Self::RuntimeClientError => "RuntimeClientError",
            Self::Throttling => "ThrottlingException",
            Self::InternalServer | Self::GatewayTimeout | Self::DiskFull => "InternalServerException",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Validation => StatusCode::BAD_REQUEST,
            Self::AccessDenied => StatusCode::FORBIDDEN,
            Self::ServiceQuotaExceeded => StatusCode::PAYMENT_REQUIRED,
            Self::ResourceNotFound => StatusCode::NOT_FOUND,
            Self::Conflict | Self::RetryableConflict => StatusCode::CONFLICT,
            Self::RuntimeClientError => StatusCode::FAILED_DEPENDENCY,
            Self::Throttling => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalServer => StatusCode::INTERNAL_SERVER_ERROR,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

impl AwsError {
    pub(super) fn new(exception: Exception, message: impl Into<String>) -> Self {
        Self { exception, message: message.into(), reason: None, field: None, ran_nothing: false }
    }

    /// `field` of the request is not as it should be.
    pub(super) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        let error = Self::new(Exception::Validation, message);
        Self { reason: Some(Reason::FieldValidationFailed), field: Some(field), ..error }
    }

    /// The request cannot be read.
    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self { reason: Some(Reason::CannotParse), ..Self::new(Exception::Validation, message) }
    }

    /// The same token came with another request before.
    pub(super) fn token_mismatch() -> Self {
        let message = "this clientToken was used for a request with other parameters: use a new one";
        let reason = Some(Reason::IdempotentParameterMismatchException);
        Self { reason, field: Some("clientToken"), ..Self::new(Exception::Validation, message) }
    }

    /// The same `amz-sdk-invocation-id` came with another payload before.
    pub(super) fn another_call() -> Self {
        let message = "this amz-sdk-invocation-id came with another payload before: each call needs its own";
        let reason = Some(Reason::IdempotentParameterMismatchException);
        Self { reason, field: Some("payload"), ..Self::new(Exception::Validation, message) }
    }

    /// The host has failed; its log tells how.
    pub(super) fn internal() -> Self {
        Self::new(Exception::InternalServer, "internal error: the host's log tells what went wrong")
    }

    /// An error of this project's own extensions, with the status that it has elsewhere, too.
    fn other(error: ApiError) -> Self {
        error.log();
        let body = error.body();
        let exception = match error {
            ApiError::KeyReused => Exception::Unprocessable,
            ApiError::AlreadyCalled => Exception::Conflict,
            ApiError::DiskFull => Exception::DiskFull,
            _ => return Self::internal(),
        };
        let message = body
            .details
            .map_or_else(|| body.error.to_string(), |details| format!("{}: {details}", body.error));
        Self::new(exception, message)
    }

    /// There is no such thing.
    pub(in crate::api) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exception::ResourceNotFound, message)
    }

    /// It cannot be done as things are.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(Exception::Conflict, message)
    }

    /// The body, which is also what an event stream ends with.
    pub(super) fn body(&self) -> impl Serialize {
        let message = &*self.message;
        let fields = self.field.map(|name| Field { name, message }).into_iter().collect();
        Body { message, reason: self.reason, fields }
    }
}

impl IntoResponse for AwsError {
    fn into_response(self) -> Response {
        let mut response = (self.exception.status(), Json(self.body())).into_response();
        response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(self.exception.name()));
        if self.exception == Exception::Throttling {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<ApiError> for AwsError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::BadSessionId(error) => Self::invalid("runtimeSessionId", error.to_string()),
            ApiError::BadRequest(what) => Self::unreadable(what),
            ApiError::BadQuery(why) => Self::unreadable(&why),
            ApiError::Forbidden(why) => Self::new(Exception::AccessDenied, why),
            ApiError::Unproven(how) => Self::new(Exception::AccessDenied, how.to_string()),
            ApiError::UnknownAgent(name) => Self::not_found(format!("there is no agent runtime {name:?}")),
            ApiError::NotAdmitted(why) => not_admitted(&why),
            ApiError::TooOften(limit) => Self::new(Exception::Throttling, too_often(limit)),
            ApiError::DidNotStart(ended) => failed("The agent did not start", &ended),
            ApiError::EndedMidway(ended) => failed("The session ended before it answered", &ended),
            ApiError::Exchange(error) => not_exchanged(&error),
            ApiError::UnknownSession | ApiError::NotRunning => Self::not_found("the session is not running"),
            // AWS knows no tasks.
            ApiError::NoDefaultAgent(_)
            | ApiError::UnknownTask
            | ApiError::NotCancelled(_)
            | ApiError::NoSuchPath
            | ApiError::MethodNotAllowed => Self::not_found("there is no such operation"),
            ApiError::Unanswered(State::Cancelled, _) => Self::conflict("the invocation was cancelled"),
            ApiError::Unanswered(_, reason) => Self::new(
                Exception::RuntimeClientError,
                reason.unwrap_or_else(|| "the invocation failed".into()),
            ),
            ApiError::BadKey => {
                Self::invalid("Idempotency-Key", "send one, of 1 to 255 visible ASCII characters")
            }
            ApiError::Upload(error) => Self::unreadable(error.to_string()),
            ApiError::Store(error) => error.into(),
            error => Self::other(error),
        }
    }
}

impl From<StoreError> for AwsError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error, "the store failed a request");
        Self::internal()
    }
}

impl From<RegistryError> for AwsError {
    fn from(error: RegistryError) -> Self {
        let message = error.to_string();
        match error {
            RegistryError::NotFound { .. } => Self::not_found(message),
            RegistryError::Conflict(_) => Self::conflict(message),
            RegistryError::Invalid { field, .. } => Self::invalid(field, message),
            RegistryError::TooMany(_) => Self::new(Exception::ServiceQuotaExceeded, message),
            RegistryError::TokenMismatch => Self::token_mismatch(),
            RegistryError::Store(error) => error.into(),
        }
    }
}

fn not_admitted(why: &NotAdmitted) -> AwsError {
    let exception = match why {
        NotAdmitted::UnknownAgent(_) => Exception::ResourceNotFound,
        NotAdmitted::TooManySessions(_) => Exception::ServiceQuotaExceeded,
        NotAdmitted::TooManyNewSessions(_) | NotAdmitted::TooManyRequests { .. } => Exception::Throttling,
        NotAdmitted::ShuttingDown => Exception::InternalServer,
    };
    AwsError { ran_nothing: true, ..AwsError::new(exception, why.to_string()) }
}

fn failed(what: &str, ended: &Ended) -> AwsError {
    let message = match &ended.last_words {
        Some(log) => format!("{what}: {}\nThe end of its log:\n{}", ended.reason, log.trim_end()),
        None => format!("{what}: {}", ended.reason),
    };
    AwsError::new(Exception::RuntimeClientError, message)
}

fn not_exchanged(error: &ExchangeError) -> AwsError {
    match error {
        ExchangeError::TooLarge => too_large(),
        ExchangeError::Incomplete => {
            AwsError { ran_nothing: true, ..AwsError::unreadable(error.to_string()) }
        }
        ExchangeError::TooSlow(_) => AwsError::new(Exception::GatewayTimeout, error.to_string()),
        _ => {
            let details = error.details().map(|details| format!(": {details}")).unwrap_or_default();
            AwsError::new(Exception::RuntimeClientError, format!("{error}{details}"))
        }
    }
}

/// A payload above the limit.
pub(super) fn too_large() -> AwsError {
    AwsError::invalid("payload", format!("a payload may have {MAX_PAYLOAD_BYTES} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::reason::{StopKind, StopReason};

    #[test]
    fn a_field_is_named_where_clients_look_for_it() {
        let body = serde_json::to_value(AwsError::invalid("roleArn", "it is missing").body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "message": "it is missing", "reason": "FieldValidationFailed",
                "fieldList": [{"name": "roleArn", "message": "it is missing"}],
            })
        );
    }

    #[test]
    fn an_agent_that_failed_explains_itself_with_its_log() {
        let reason = StopReason::new(StopKind::StartupFailed, "exited with code 1");
        let error =
            AwsError::from(ApiError::DidNotStart(Ended { reason, last_words: Some("boom\n".into()) }));
        assert_eq!(error.exception, Exception::RuntimeClientError);
        assert_eq!(
            error.message,
            "The agent did not start: StartupFailed: exited with code 1\nThe end of its log:\nboom"
        );
    }

    #[test]
    fn limits_are_told_apart_by_what_helps() {
        let of = |why| AwsError::from(ApiError::NotAdmitted(why)).exception;
        assert_eq!(of(NotAdmitted::TooManySessions(1)), Exception::ServiceQuotaExceeded);
        assert_eq!(of(NotAdmitted::TooManyNewSessions(1)), Exception::Throttling);
    }
}
