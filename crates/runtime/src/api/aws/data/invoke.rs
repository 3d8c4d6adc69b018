//! `InvokeAgentRuntime`.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};

use super::outcome::outcome;
use crate::api::Api;
use crate::api::aws::error::{AwsError, too_large};
use crate::api::aws::target::Target;
use crate::api::call::announces_too_much;

pub(super) async fn invoke(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    request: Request,
) -> Result<Response, AwsError> {
    let (parts, body) = request.into_parts();
    if announces_too_much(&parts.headers) {
        return Err(too_large());
    }
    let target = Target::of(&api, &runtime, &parts.headers, &parts.uri)?;
    let call = target.begin(&api)?;
    let (stamp, session) = (call.stamp(), call.session().clone());
    let answer = call.invoke(&api, &parts.headers, body).await;
    Ok(stamp.on(outcome(answer, &session).await.unwrap_or_else(IntoResponse::into_response)))
}
