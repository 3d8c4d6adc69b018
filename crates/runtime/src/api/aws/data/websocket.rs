//! A WebSocket to an agent.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};

use crate::api::Api;
use crate::api::aws::error::AwsError;
use crate::api::aws::target::Target;
use crate::api::caller::Caller;
use crate::api::proxy::is_websocket;

pub(super) async fn open(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    request: Request,
) -> Result<Response, AwsError> {
    if !is_websocket(request.headers()) {
        return Err(AwsError::unreadable("this path is for WebSockets"));
    }
    let target =
        Target::of(&api, &runtime, Caller::of(request.extensions())?, request.headers(), request.uri())?;
    let call = target.begin(&api)?;
    let stamp = call.stamp();
    // An agent that refuses speaks for itself: clients of WebSockets see no more than its status.
    let answer = call.open_websocket(&api, request).await.map_err(AwsError::from);
    Ok(stamp.on(answer.unwrap_or_else(IntoResponse::into_response)))
}
