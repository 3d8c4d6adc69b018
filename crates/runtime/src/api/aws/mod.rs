//! AWS's own API: `bedrock-agentcore` (data plane) and `bedrock-agentcore-control` on one port, as
//! AWS's SDKs and command line speak it. The shapes are those of botocore's service models.

mod control;
mod data;
mod error;
mod replay;
mod target;
mod unread;

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::call::SESSION_ID;
use super::{Api, ApiError};

pub(super) use data::outcome;
pub(super) use error::{AwsError, ERROR_TYPE};
pub(crate) use replay::Replays;
pub(super) use unread::read_rest;

/// Most bytes of an error that is not ours.
const MOST_OF_FOREIGN: usize = 1_024;
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// What SDKs name a call by, and send again with each retry.
pub(super) const SDK_INVOCATION_ID: HeaderName = HeaderName::from_static("amz-sdk-invocation-id");

/// The paths of both services.
pub(super) fn router(api: &Arc<Api>) -> Router<Arc<Api>> {
    data::router()
        .merge(control::router(api))
        .layer(from_fn(unread::read_before_error))
        .layer(from_fn(name_request))
}

/// Tells an error in the way that the clients of a path understand.
pub(super) fn told(path: &str, error: ApiError) -> Response {
    if path.starts_with("/runtimes") || path.starts_with("/tags") {
        return named(AwsError::from(error).into_response());
    }
    error.into_response()
}

/// Every answer carries an id, which SDKs show with an error.
async fn name_request(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    named(if is_foreign(&response) { translated(response).await } else { response })
}

/// Whether it is an error of neither this API nor an agent: one of the web framework's, which
/// AWS's clients do not understand.
fn is_foreign(response: &Response) -> bool {
    let headers = response.headers();
    response.status().is_client_error()
        && !headers.contains_key(ERROR_TYPE)
        && !headers.contains_key(SESSION_ID)
}

async fn translated(response: Response) -> Response {
    let status = response.status();
    let said = to_bytes(response.into_body(), MOST_OF_FOREIGN).await.unwrap_or_default();
    AwsError::unreadable(format!("{status}: {}", String::from_utf8_lossy(&said))).into_response()
}

/// An answer with an id, which SDKs show with an error.
pub(super) fn named(mut response: Response) -> Response {
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        response.headers_mut().entry(REQUEST_ID).or_insert(id);
    }
    response
}
