//! Invocations that outlive their callers: asked for with `Prefer: respond-async`, or with a key so
//! that they are not carried out twice.
//!
//! Such a request is read to its end and put on disk before it is acknowledged. A task of its own
//! then runs it ([`run`]), whoever listens.

mod key;
mod prefer;
mod recover;
mod respond;
mod run;

use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::InvocationId;
use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;

use super::aws::outcome;
use super::call::{Call, Stamp, new_invocation_id};
use super::{Api, ApiError, aws};
use crate::carried_on::carried_on;
use crate::invocations::{Idempotency, Known, NewInvocation, Received, Request, Unclaimed};
use crate::key::SessionKey;
use crate::session::Agent;
use prefer::Preferences;

pub(super) use key::sdk_key;
pub(crate) use recover::{keep_within_bounds, recover};
pub(super) use respond::{answer, followed};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What makes a request a durable invocation.
pub(super) struct Asked {
    respond_async: bool,
    wait: Duration,
    key: Option<String>,
}

/// Where a request goes.
pub(super) struct Target {
    pub(super) key: SessionKey,
    /// The caller has named the session.
    pub(super) named: bool,
    /// Whose own list of headers is let through to it.
    pub(super) agent: Option<Arc<Agent>>,
    pub(super) surface: Surface,
}

/// How the answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surface {
    /// As the agent says it.
    Plain,
    /// As AWS's clients understand it.
    Aws,
}

impl Asked {
    /// What a request asks for, if it is for a durable invocation.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        // Nearly all requests have neither.
        if !headers.contains_key(PREFER) && !headers.contains_key(IDEMPOTENCY_KEY) {
            return Ok(None);
        }
        let Preferences { respond_async, wait } = Preferences::of(headers);
        if !respond_async && !headers.contains_key(IDEMPOTENCY_KEY) {
            return Ok(None);
        }
        let wait = wait.filter(|_| respond_async).unwrap_or_default();
        Ok(Some(Self { respond_async, wait, key: key::of(headers)? }))
    }
}

impl Surface {
    /// An error as it is told here.
    pub(super) fn error(self, error: ApiError) -> Response {
        match self {
            Self::Plain => axum::response::IntoResponse::into_response(error),
            Self::Aws => axum::response::IntoResponse::into_response(aws::AwsError::from(error)),
        }
    }
}

/// Carries out a durable invocation, or joins the one that came with the same key.
pub(super) async fn invoke(
    api: Arc<Api>,
    target: Target,
    asked: Asked,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (id, surface) = (new_invocation_id(&api.clock), target.surface);
    let received = match Received::of(&api.invocations.files, id, body, asked.key.is_some()).await {
        Ok(received) => received,
        Err(error) => return surface.error(error.into()),
    };
    let key = received.hash.and_then(|request| Some(Idempotency { key: asked.key.clone()?, request }));
    let waits = !asked.respond_async || !asked.wait.is_zero();
    let taken = Incoming { id, target, headers, received, waits }.take(api.clone(), key);
    // Who leaves in between does not leave an invocation behind that is on record and that nobody runs.
    match carried_on(taken, |_| async {}).await {
        Ok((known, stamp)) => stamp.on(respond::respond(&api, known, &asked, surface).await),
        Err(error) => surface.error(error),
    }
}

/// A request that is complete, and that nobody answers for yet.
struct Incoming {
    id: InvocationId,
    target: Target,
    headers: HeaderMap,
    received: Received,
    /// Its caller waits for the answer.
    waits: bool,
}

impl Incoming {
    /// Accepts the invocation, unless its key is known. A shutdown waits for it.
    async fn take(self, api: Arc<Api>, key: Option<Idempotency>) -> Result<(Known, Stamp), ApiError> {
        let _counted = api.invocations.running.token();
        let Some(idempotency) = key else { return self.accept(&api, None).await };
        let (principal, agent) = (&self.target.key.principal, &*self.target.key.agent);
        if idempotency.key.starts_with(key::SDK) {
            api.invocations.expect_sdk_keys();
        }
        let _turn = api.invocations.turn(principal, agent, &idempotency.key).await;
        let Some(known) = api.invocations.of_key(principal, agent, &idempotency.key).await? else {
            let of_sdk = idempotency.key.strip_prefix(key::SDK);
            if of_sdk.is_some_and(|call| api.replays.knows(principal, agent, call)) {
                return Err(ApiError::AlreadyCalled);
            }
            return self.accept(&api, Some(idempotency)).await;
        };
        let record = known.record();
        let is_another_session = self.target.named && record.key.session != self.target.key.session;
        if record.request_hash != Some(idempotency.request) || is_another_session {
            return Err(ApiError::KeyReused);
        }
        Ok((known, Stamp::of(record.key.session, record.id)))
    }

    async fn accept(
        self,
        api: &Arc<Api>,
        idempotency: Option<Idempotency>,
    ) -> Result<(Known, Stamp), ApiError> {
        let Self { id, target, headers, received, waits } = self;
        let call = Call::begin_as(api, &target.key, target.agent, id)?;
        let stamp = call.stamp();
        let request = Request { headers: call.headers(&headers), payload: received.payload };
        let new = NewInvocation {
            id,
            key: target.key,
            incarnation: call.session().incarnation,
            accepted_at: api.clock.timestamp(),
            // Whoever waits for the answer need not wait for a second write. Whoever does not is better
            // served with an invocation that the next host can still begin.
            started: waits && call.session().is_ready(),
            idempotency,
            request: kept(&request),
        };
        let live = api.invocations.accept(new).await?;
        received.file.into_iter().for_each(Unclaimed::claim);
        api.invocations.running.spawn(run::run(api.clone(), live.clone(), call, request));
        Ok((Known::Live(live), stamp))
    }
}

/// What is on disk of a request: no token is. A host that begins the invocation after its next start
/// does so without.
fn kept(request: &Request) -> Request {
    let mut kept = request.clone();
    kept.headers.remove(AUTHORIZATION);
    kept
}
