//! `InvokeAgentRuntime`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::outcome::outcome_of;
use super::recorded;
use crate::api::Api;
use crate::api::aws::error::{AwsError, too_large};
use crate::api::aws::target::Target;
use crate::api::call::announces_too_much;
use crate::api::caller::Caller;
use crate::api::durable::{self, Asked, Surface};

pub(super) async fn invoke(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    request: Request,
) -> Result<Response, AwsError> {
    let (parts, body) = request.into_parts();
    if announces_too_much(&parts.headers) {
        return Err(too_large());
    }
    let target = Target::of(&api, &runtime, Caller::of(&parts.extensions)?, &parts.headers, &parts.uri)?;
    if let Some(asked) = Asked::of(&parts.headers)? {
        let agent = api.manager.agent(&target.key.agent);
        let target = durable::Target { key: target.key, named: target.named, agent, surface: Surface::Aws };
        return Ok(Box::pin(durable::invoke(api, target, asked, parts.headers, body)).await);
    }
    Ok(recorded::invoke(api, target, parts, body).await)
}

/// Invokes the agent. Whether it is certain that no agent was reached comes with the answer.
pub(super) async fn run(api: &Api, target: &Target, parts: &Parts, body: Body) -> (Response, bool) {
    let call = match target.begin(api) {
        Ok(call) => call,
        Err(error) => return (error.clone().into_response(), error.ran_nothing),
    };
    let (stamp, session) = (call.stamp(), call.session().clone());
    match outcome_of(call.invoke(api, &parts.headers, body).await, &session).await {
        Ok(answer) => (stamp.on(answer), false),
        Err(error) => (stamp.on(error.clone().into_response()), error.ran_nothing),
    }
}
