//! The paths at the root: an agent as if it were served here itself.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::agent::{INVOCATIONS_PATH, MAX_PAYLOAD_BYTES, PING_PATH, WEBSOCKET_PATH};
use agentcore_protocol::headers;
use agentcore_protocol::{InvocationId, PingReport, PingStatus, SessionId};
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::Limited;
use tokio::time::timeout;
use uuid::Uuid;

use super::proxy::{ExchangeError, agent_headers, answer_headers, invoke, is_websocket, websocket};
use super::{Api, ApiError};
use crate::key::{Principal, SessionKey};
use crate::link::RequestBody;
use crate::session::{Admission, SessionHandle};
use crate::time::HostClock;

// Made at compile time: a name that is looked up as text is parsed each time.
const SESSION_ID: HeaderName = HeaderName::from_static(headers::SESSION_ID);
const SESSION_NEW: HeaderName = HeaderName::from_static(headers::SESSION_NEW);
const INVOCATION_ID: HeaderName = HeaderName::from_static(headers::INVOCATION_ID);

/// How long the host waits for an agent's own answer to a ping, before it tells what it knows.
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// How long the host waits to learn that a lost connection was the end of the agent's program.
const END_PATIENCE: Duration = Duration::from_millis(500);

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route(INVOCATIONS_PATH, post(invocations))
        .route(PING_PATH, get(ping))
        .route(WEBSOCKET_PATH, get(open_websocket))
}

pub(super) async fn invocations(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if announces_too_much(&parts.headers) {
        return ApiError::Exchange(ExchangeError::TooLarge).into_response();
    }
    let call = match Call::begin(&api, &parts.headers, &parts.uri) {
        Ok(call) => call,
        Err(error) => return error.into_response(),
    };
    let stamp = call.stamp();
    let answer = call.invoke(&api, &parts.headers, body).await;
    stamp.on(answer.unwrap_or_else(ApiError::into_response))
}

async fn open_websocket(State(api): State<Arc<Api>>, request: Request) -> Response {
    if !is_websocket(request.headers()) {
        return ApiError::BadRequest("This path is for WebSockets").into_response();
    }
    let call = match Call::begin(&api, request.headers(), request.uri()) {
        Ok(call) => call,
        Err(error) => return error.into_response(),
    };
    let stamp = call.stamp();
    let answer = call.open_websocket(&api, request).await;
    stamp.on(answer.unwrap_or_else(ApiError::into_response))
}

/// A request that was let into its session.
struct Call {
    admission: Admission,
    id: InvocationId,
}

impl Call {
    fn begin(api: &Arc<Api>, headers: &HeaderMap, uri: &Uri) -> Result<Self, ApiError> {
        let key = session_key(api, headers, uri)?;
        let admission = api.manager.admit(&key)?;
        Ok(Self { admission, id: new_invocation_id(&api.clock) })
    }

    fn session(&self) -> &SessionHandle {
        self.admission.in_flight.session()
    }

    fn stamp(&self) -> Stamp {
        Stamp { session: self.session().key.session.clone(), new: self.admission.new, id: self.id }
    }

    fn headers(&self, caller: &HeaderMap) -> HeaderMap {
        agent_headers(caller, &self.session().key.session, self.id)
    }

    async fn invoke(self, api: &Api, headers: &HeaderMap, body: Body) -> Result<Response, ApiError> {
        self.session().ready().await.map_err(ApiError::DidNotStart)?;
        let session = self.session().clone();
        let request = invocation(self.headers(headers), body);
        match invoke(request, self.admission.in_flight, api.timeouts).await {
            Ok(mut answer) => {
                answer_headers(answer.headers_mut());
                Ok(answer.map(Body::new))
            }
            Err(error) => Err(explain(error, &session, self.id).await),
        }
    }

    async fn open_websocket(self, api: &Api, request: Request) -> Result<Response, ApiError> {
        self.session().ready().await.map_err(ApiError::DidNotStart)?;
        let session = self.session().clone();
        let headers = self.headers(request.headers());
        match websocket(request, headers, self.admission.in_flight, api.timeouts).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(explain(error, &session, self.id).await),
        }
    }
}

fn invocation(headers: HeaderMap, body: Body) -> axum::http::Request<RequestBody> {
    let mut request = axum::http::Request::new(Limited::new(body, MAX_PAYLOAD_BYTES));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(INVOCATIONS_PATH);
    *request.headers_mut() = headers;
    request
}

/// What the answer to a call says of it.
struct Stamp {
    session: SessionId,
    new: bool,
    id: InvocationId,
}

impl Stamp {
    fn on(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        for (name, value) in [(SESSION_ID, self.session.as_str()), (INVOCATION_ID, &self.id.to_string())] {
            // Both are visible ASCII.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if self.new {
            headers.insert(SESSION_NEW, HeaderValue::from_static("true"));
        }
        response
    }
}

/// Tells the operator, and finds out what the caller should know.
async fn explain(error: ExchangeError, session: &SessionHandle, invocation: InvocationId) -> ApiError {
    tracing::warn!(
        session.id = %session.key.session, incarnation = %session.incarnation, invocation.id = %invocation,
        error = %error, error.details = error.details(), "an invocation failed"
    );
    let details = error.details().map(|details| format!(": {details}")).unwrap_or_default();
    session.note("invocation_failed", format!("{error}{details}"));
    if error.may_be_the_end()
        && let Ok(ended) = timeout(END_PATIENCE, session.until_ending()).await
    {
        return ApiError::EndedMidway(ended);
    }
    ApiError::Exchange(error)
}

/// The agent's own answer if the session runs, else what is true of an agent at rest. Starts no
/// session and resets no clock.
async fn ping(State(api): State<Arc<Api>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let key = session_key(&api, &headers, &uri)?;
    let running = api.manager.find(&key).filter(SessionHandle::is_open);
    let Some(session) = running else { return Ok(at_rest(&api)) };
    let Some(sandbox) = session.sandbox().cloned() else { return Ok(at_rest(&api)) };
    match timeout(PING_PATIENCE, crate::session::ping(&*sandbox)).await {
        Ok(Ok(answer)) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
            Ok((status, [(CONTENT_TYPE, "application/json")], answer.body).into_response())
        }
        // It starts, or is blocked; what it said last still holds.
        Ok(Err(_)) | Err(_) => {
            let status = session.published().ping_status.unwrap_or(PingStatus::Healthy);
            Ok(Json(PingReport { status, time_of_last_update: None }).into_response())
        }
    }
}

fn at_rest(api: &Api) -> Response {
    Json(PingReport::new(PingStatus::Healthy, api.started_at)).into_response()
}

/// Whose session a request is for.
fn session_key(api: &Api, headers: &HeaderMap, uri: &Uri) -> Result<SessionKey, ApiError> {
    let query = Parameters::of(uri)?;
    let agent = api.agent(query.agent.as_deref())?;
    let header = headers.get(SESSION_ID).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let session = match header.or(query.session.map(Cow::Owned)) {
        Some(text) => text.parse()?,
        None => agent.default_session.clone(),
    };
    Ok(SessionKey { principal: Principal::local(), agent: agent.name.clone(), session })
}

/// What can be said in a query: browsers cannot set headers on a WebSocket.
#[derive(Default)]
struct Parameters {
    agent: Option<String>,
    session: Option<String>,
}

impl Parameters {
    fn of(uri: &Uri) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        if uri.query().is_none_or(str::is_empty) {
            return Ok(parameters);
        }
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| ApiError::BadRequest("The query cannot be read"))?;
        for (name, value) in pairs {
            if name == "agent" {
                parameters.agent = Some(value);
            } else if name.eq_ignore_ascii_case(headers::SESSION_ID) {
                parameters.session = Some(value);
            }
        }
        Ok(parameters)
    }
}

fn announces_too_much(headers: &HeaderMap) -> bool {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    announced.is_some_and(|length| length > MAX_PAYLOAD_BYTES as u64)
}

fn new_invocation_id(clock: &HostClock) -> InvocationId {
    let millis = clock.timestamp().unix_millis();
    loop {
        let at =
            uuid::Timestamp::from_unix(uuid::NoContext, millis / 1_000, (millis % 1_000) as u32 * 1_000_000);
        // Always of version 7, and so always an invocation id.
        if let Ok(id) = InvocationId::try_from(Uuid::new_v7(at)) {
            return id;
        }
    }
}
