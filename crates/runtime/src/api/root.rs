//! The paths at the root: an agent as if it were served here itself.

use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::agent::{INVOCATIONS_PATH, PING_PATH, WEBSOCKET_PATH};
use agentcore_protocol::{PingReport, PingStatus};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::time::timeout;

use super::call::{Call, announces_too_much};
use super::caller::Caller;
use super::durable::{self, Asked, Surface, Target};
use super::proxy::{ExchangeError, is_websocket};
use super::query::Parameters;
use super::{Api, ApiError};
use crate::key::SessionKey;
use crate::session::{Agent, SessionHandle};

/// How long the host waits for an agent's own answer to a ping, before it tells what it knows.
const PING_PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route(INVOCATIONS_PATH, post(invocations))
        .route(PING_PATH, get(ping))
        .route(WEBSOCKET_PATH, get(open_websocket))
}

async fn invocations(State(api): State<Arc<Api>>, caller: Caller, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    invoke(&api, &caller, &mut parts, body).await
}

/// Answers an invocation at the root.
pub(super) async fn invoke(api: &Arc<Api>, caller: &Caller, parts: &mut Parts, body: Body) -> Response {
    if announces_too_much(&parts.headers) {
        return ApiError::Exchange(ExchangeError::TooLarge).into_response();
    }
    let asked_for = session_key(api, caller, &parts.headers, &parts.uri);
    let call = match (asked_for, Asked::of(&parts.headers)) {
        (Ok((key, agent)), Ok(Some(asked))) => {
            let target = Target { key, named: true, agent: Some(agent), surface: Surface::Plain };
            let headers = std::mem::take(&mut parts.headers);
            return Box::pin(durable::invoke(api.clone(), target, asked, headers, body)).await;
        }
        (Err(error), _) | (_, Err(error)) => return error.into_response(),
        (Ok((key, agent)), Ok(None)) => Call::begin(api, &key, Some(agent)),
    };
    let call = match call {
        Ok(call) => call,
        Err(error) => return error.into_response(),
    };
    let stamp = call.stamp();
    let answer = call.invoke(api, &parts.headers, body).await;
    stamp.on(answer.unwrap_or_else(ApiError::into_response))
}

async fn open_websocket(State(api): State<Arc<Api>>, request: Request) -> Response {
    if !is_websocket(request.headers()) {
        return ApiError::BadRequest("This path is for WebSockets").into_response();
    }
    let asked_for = Caller::of(request.extensions())
        .and_then(|caller| session_key(&api, caller, request.headers(), request.uri()));
    let call = match asked_for.and_then(|(key, agent)| Call::begin(&api, &key, Some(agent))) {
        Ok(call) => call,
        Err(error) => return error.into_response(),
    };
    let stamp = call.stamp();
    let answer = call.open_websocket(&api, request).await;
    stamp.on(answer.unwrap_or_else(ApiError::into_response))
}

/// The agent's own answer if the session runs, else what is true of an agent at rest. Starts no
/// session and resets no clock.
async fn ping(State(api): State<Arc<Api>>, request: Request) -> Result<Response, ApiError> {
    let caller = Caller::of(request.extensions())?;
    let (key, _) = session_key(&api, caller, request.headers(), request.uri())?;
    let running = api.manager.find(&key).filter(SessionHandle::is_open);
    let Some(session) = running else { return Ok(at_rest(&api)) };
    let Some(sandbox) = session.sandbox().cloned() else { return Ok(at_rest(&api)) };
    match timeout(PING_PATIENCE, crate::session::ping(&*sandbox)).await {
        Ok(Ok(answer)) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
            Ok((status, [(CONTENT_TYPE, "application/json")], answer.body).into_response())
        }
        Ok(Err(_)) | Err(_) => {
            let published = session.published();
            let changed_at = api.clock.timestamp_of(published.status_since);
            Ok(Json(PingReport::new(published.status(), changed_at)).into_response())
        }
    }
}

fn at_rest(api: &Api) -> Response {
    Json(PingReport::new(PingStatus::Healthy, api.started_at)).into_response()
}

/// Whose session a request is for, and the agent in it.
fn session_key(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<(SessionKey, Arc<Agent>), ApiError> {
    let said = Parameters::of(uri);
    let agent = api.agent(said.agent.as_deref())?;
    caller.must_invoke(&agent.name, Some(&agent))?;
    let session = match said.session(headers)? {
        Some(text) => text.parse()?,
        None => agent.default_session.clone(),
    };
    Ok((SessionKey { principal: caller.principal(), agent: agent.name.clone(), session }, agent))
}
