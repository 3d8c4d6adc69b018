//! What every request of the control plane has in common.

use axum::Json;
use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::super::error::AwsError;
use crate::api::caller::Caller;
use crate::api::query::pairs;
use crate::registry::{RegistryError, Token};

/// The longest client token.
const LONGEST_TOKEN: usize = 256;

/// The JSON object of a body; an empty body is an empty one.
pub(super) fn object(body: &Bytes) -> Result<Value, AwsError> {
    if body.is_empty() {
        return Ok(Value::Object(Default::default()));
    }
    let value: Value =
        serde_json::from_slice(body).map_err(|error| AwsError::unreadable(format!("the body: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(AwsError::unreadable("the body is no JSON object")) }
}

/// A text among the members of a request.
pub(super) fn text(request: &Value, field: &'static str) -> Result<Option<String>, AwsError> {
    match &request[field] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(AwsError::invalid(field, format!("{field} is a text"))),
    }
}

/// The tags of a request.
pub(super) fn tags(request: &Value) -> Result<std::collections::BTreeMap<String, String>, AwsError> {
    match &request["tags"] {
        Value::Null => Ok(Default::default()),
        tags => serde::Deserialize::deserialize(tags)
            .map_err(|_| AwsError::invalid("tags", "tags are texts with names that are texts")),
    }
}

/// The values that a query has for `name`.
pub(super) fn query(uri: &Uri, name: &str) -> Vec<String> {
    pairs(uri).filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
}

/// The token of a request that must not be carried out twice. `what` is all that the request says.
pub(super) fn token(
    caller: &Caller,
    operation: &'static str,
    token: Option<String>,
    what: String,
) -> Result<Option<Token>, AwsError> {
    let Some(token) = token else { return Ok(None) };
    if token.is_empty() || token.len() > LONGEST_TOKEN {
        return Err(AwsError::invalid("clientToken", format!("a token has 1 to {LONGEST_TOKEN} characters")));
    }
    let scope = format!("{} {operation}", caller.principal());
    Ok(Some(Token { scope, token, request: what }))
}

/// The answer to a request that changes something: accepted.
pub(super) fn accepted(answer: Result<Value, RegistryError>) -> Result<Response, AwsError> {
    Ok((StatusCode::ACCEPTED, Json(answer?)).into_response())
}
