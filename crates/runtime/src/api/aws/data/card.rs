//! `GetAgentCard`: the card of an agent that speaks A2A, passed through.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::outcome::outcome_of;
use crate::api::Api;
use crate::api::aws::error::AwsError;
use crate::api::aws::target::Target;
use crate::api::caller::Caller;

/// Where agents have it.
const CARD_PATH: &str = "/.well-known/agent-card.json";

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    request: Request,
) -> Result<Response, AwsError> {
    let target =
        Target::of(&api, &runtime, Caller::of(request.extensions())?, request.headers(), request.uri())?;
    let call = target.begin(&api)?;
    let (stamp, session) = (call.stamp(), call.session().clone());
    let answer = call.exchange(&api, (Method::GET, CARD_PATH), request.headers(), Body::empty()).await;
    Ok(stamp.on(outcome_of(answer, &session).await.unwrap_or_else(IntoResponse::into_response)))
}
