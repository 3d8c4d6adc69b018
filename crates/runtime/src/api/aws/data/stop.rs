//! `StopRuntimeSession`.

use std::sync::Arc;

use agentcore_auth::Action;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Api;
use crate::api::aws::error::AwsError;
use crate::api::aws::target::Target;
use crate::api::call::SESSION_ID;
use crate::api::caller::Caller;
use crate::registry::{Change, Token};
use crate::session::reason::{StopKind, StopReason};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop {
    client_token: Option<String>,
}

/// Stops a session. Returns once that is decided; a retry of it gets the same answer.
pub(super) async fn stop(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, AwsError> {
    let target = Target::of(&api, &runtime, &caller, &headers, &uri)?;
    caller.must(Action::Manage, &target.key.agent)?;
    if !target.named {
        return Err(AwsError::invalid("runtimeSessionId", "name the session in its header"));
    }
    let Stop { client_token } = match &*body {
        [] => Stop::default(),
        body => serde_json::from_slice(body).map_err(|error| AwsError::unreadable(error.to_string()))?,
    };
    let token = client_token.map(|token| Token {
        scope: format!("{} StopRuntimeSession", target.key.principal),
        token,
        request: format!("{} {}", target.key.agent, target.key.session),
    });
    if !api.registry.is_repeated(token.as_ref()).await? {
        stop_session(&api, &target).await?;
        // What is repeated finds that it is done.
        api.registry.change(token, |_, _| Ok((Change::Nothing, Value::Null))).await?;
    }
    let mut response = Json(json!({})).into_response();
    // A session id is visible ASCII.
    if let Ok(value) = HeaderValue::from_str(target.key.session.as_str()) {
        response.headers_mut().insert(SESSION_ID, value);
    }
    Ok(response)
}

async fn stop_session(api: &Api, target: &Target) -> Result<(), AwsError> {
    let gone = || AwsError::not_found(format!("session {} is not running", target.key.session));
    let session = api.manager.find(&target.key).ok_or_else(gone)?;
    let reason = StopReason::new(StopKind::StopRequested, "StopRuntimeSession was called");
    if session.stop(reason).await { Ok(()) } else { Err(gone()) }
}
