//! The answers of an agent's server, as the contract writes them.

use agentcore_protocol::error::ErrorBody;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// The body of a [`Response`].
pub use axum::body::Body;
/// A whole HTTP response, for handlers that want a status, headers or a body of their own.
pub type Response = axum::response::Response;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

pub(crate) fn response(status: StatusCode, content_type: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// JSON that is ready to be sent.
pub(crate) fn json_bytes(status: StatusCode, json: Bytes) -> Response {
    response(status, JSON, json)
}

pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("the contract's own bodies are always JSON");
    response(status, JSON, body)
}

pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    json(status, &ErrorBody::new(message))
}

pub(crate) fn text(status: StatusCode, text: &'static str) -> Response {
    response(status, TEXT, text)
}

/// 405, with the methods that would do.
pub(crate) fn method_not_allowed(allow: &'static str) -> Response {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}
