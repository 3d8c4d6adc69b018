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
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::{Api, ApiError};

pub(super) use error::AwsError;
pub(crate) use replay::Replays;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

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
        return AwsError::from(error).into_response();
    }
    error.into_response()
}

/// Every answer carries an id, which SDKs show with an error.
async fn name_request(request: Request, next: Next) -> Response {
    named(next.run(request).await)
}

/// An answer with an id, which SDKs show with an error.
pub(super) fn named(mut response: Response) -> Response {
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        response.headers_mut().entry(REQUEST_ID).or_insert(id);
    }
    response
}
