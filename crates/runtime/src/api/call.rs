//! A request on its way into a session, and what is said of it afterwards. Every family of paths
//! that reaches agents goes through here.

use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::agent::{INVOCATIONS_PATH, MAX_PAYLOAD_BYTES};
use agentcore_protocol::headers;
use agentcore_protocol::{InvocationId, SessionId};
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::response::Response;
use http_body_util::Limited;
use tokio::time::timeout;
use uuid::Uuid;

use super::proxy::{
    AgentBody, ExchangeError, agent_headers, answer_headers, exchange, id_value, invoke, websocket,
};
use super::{Api, ApiError};
use crate::key::SessionKey;
use crate::link::RequestBody;
use crate::options::AnswerPatience;
use crate::session::{Admission, Agent, InFlight, SessionHandle};
use crate::time::HostClock;

// Made at compile time: a name that is looked up as text is parsed each time.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static(headers::SESSION_ID);
const SESSION_NEW: HeaderName = HeaderName::from_static(headers::SESSION_NEW);
pub(super) const INVOCATION_ID: HeaderName = HeaderName::from_static(headers::INVOCATION_ID);

/// How long a header may be that only the agent's definition lets through.
const MOST_OF_HEADER: usize = 4 * 1024;
/// How long the host waits to learn that a lost connection was the end of the agent's program.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// A request that was let into its session.
pub(super) struct Call {
    admission: Admission,
    id: InvocationId,
    /// Whose own list of headers is let through to it.
    agent: Option<Arc<Agent>>,
}

impl Call {
    /// Lets a request into the session of `key`, which begins with it if need be. It is told the
    /// headers that `agent` lists.
    pub(super) fn begin(api: &Api, key: &SessionKey, agent: Option<Arc<Agent>>) -> Result<Self, ApiError> {
        Self::begin_as(api, key, agent, new_invocation_id(&api.clock))
    }

    /// As [`Call::begin`], for an invocation that has its id.
    pub(super) fn begin_as(
        api: &Api,
        key: &SessionKey,
        agent: Option<Arc<Agent>>,
        id: InvocationId,
    ) -> Result<Self, ApiError> {
        let admission = api.manager.admit(key)?;
        Ok(Self { admission, id, agent })
    }

    /// The session that it was let into.
    pub(super) fn session(&self) -> &SessionHandle {
        self.admission.in_flight.session()
    }

    /// Counts the request in for as long as what it returns lives, whatever is done meanwhile.
    pub(super) fn into_in_flight(self) -> InFlight {
        self.admission.in_flight
    }

    /// What the answer is to say.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp { session: self.session().key.session.clone(), new: self.admission.new, id: self.id }
    }

    /// The headers that the agent gets.
    pub(super) fn headers(&self, caller: &HeaderMap) -> HeaderMap {
        let mut headers = agent_headers(caller, &self.session().key.session, self.id);
        let own = self.agent.iter().flat_map(|agent| &agent.definition.request_headers);
        for name in own.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()) {
            if !headers.contains_key(&name) {
                for value in caller.get_all(&name).iter().filter(|value| value.len() <= MOST_OF_HEADER) {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
        headers
    }

    /// Invokes the agent.
    pub(super) fn invoke(
        self,
        api: &Api,
        headers: &HeaderMap,
        body: Body,
    ) -> impl Future<Output = Result<Response, ApiError>> + Send {
        self.exchange(api, (Method::POST, INVOCATIONS_PATH), headers, body)
    }

    /// Sends the agent a request of any kind; what it answers is streamed back as it is.
    pub(super) async fn exchange(
        self,
        api: &Api,
        target: (Method, &'static str),
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, ApiError> {
        self.session().ready().await.map_err(ApiError::DidNotStart)?;
        let session = self.session().clone();
        let request = request(target, self.headers(headers), body);
        let answer = invoke(request, self.admission.in_flight, api.timeouts.of_answer()).await;
        answered(answer, &session, self.id).await
    }

    /// Invokes the agent with headers that were made for it. Unlike an invocation whose caller leaves,
    /// this one is given up as soon as it is dropped.
    pub(super) async fn run(
        self,
        patience: AnswerPatience,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response, ApiError> {
        let session = self.session().clone();
        let request = request((Method::POST, INVOCATIONS_PATH), headers, body);
        let answer = exchange(request, self.admission.in_flight, patience).await;
        answered(answer, &session, self.id).await
    }

    /// Opens a WebSocket to the agent.
    pub(super) async fn open_websocket(self, api: &Api, request: Request) -> Result<Response, ApiError> {
        self.session().ready().await.map_err(ApiError::DidNotStart)?;
        let session = self.session().clone();
        let headers = self.headers(request.headers());
        match websocket(request, headers, self.admission.in_flight, api.timeouts.of_answer()).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(explain(error, &session, self.id).await),
        }
    }
}

fn request(
    (method, path): (Method, &'static str),
    headers: HeaderMap,
    body: Body,
) -> http::Request<RequestBody> {
    let mut request = http::Request::new(Limited::new(body, MAX_PAYLOAD_BYTES));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_static(path);
    *request.headers_mut() = headers;
    request
}

/// What a caller gets of an agent's answer.
fn answered(
    answer: Result<http::Response<AgentBody>, ExchangeError>,
    session: &SessionHandle,
    id: InvocationId,
) -> impl Future<Output = Result<Response, ApiError>> {
    // What an error is explained with would make every answer larger.
    let answered = answer.map_err(|error| Box::pin(explain(error, session, id))).map(|mut answer| {
        answer_headers(answer.headers_mut());
        answer.map(Body::new)
    });
    async move {
        match answered {
            Ok(answer) => Ok(answer),
            Err(explained) => Err(explained.await),
        }
    }
}

/// What the answer to a call says of it.
pub(super) struct Stamp {
    pub(super) session: SessionId,
    new: bool,
    id: InvocationId,
}

impl Stamp {
    /// What is said of an invocation that may have begun with another call.
    pub(super) fn of(session: SessionId, id: InvocationId) -> Self {
        Self { session, new: false, id }
    }

    /// Says it.
    pub(super) fn on(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        // Both are visible ASCII.
        let session = HeaderValue::from_str(self.session.as_str()).ok();
        for (name, value) in [(SESSION_ID, session), (INVOCATION_ID, id_value(self.id))] {
            if let Some(value) = value {
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

/// Whether the length that a request announces is more than a payload may have.
pub(super) fn announces_too_much(headers: &HeaderMap) -> bool {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    announced.is_some_and(|length| length > MAX_PAYLOAD_BYTES as u64)
}

/// An id for an invocation that begins now.
pub(super) fn new_invocation_id(clock: &HostClock) -> InvocationId {
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
