//! An invocation whose answer is recorded for those who send it again.

use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::agent::MAX_PAYLOAD_BYTES;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::invoke::run;
use crate::api::Api;
use crate::api::aws::SDK_INVOCATION_ID;
use crate::api::aws::error::{AwsError, Exception};
use crate::api::aws::replay::{Ending, Key, Passing, Recording, Turn, Unheard, hash_of};
use crate::api::aws::target::Target;
use crate::api::aws::unread::read_rest;
use crate::api::durable;
use crate::api::proxy::is_event_stream;

/// The longest id that is taken for one; SDKs send UUIDs.
const LONGEST_ID: usize = 128;
/// Most bytes of one answer that are kept.
const MOST_OF_ANSWER: usize = 16 * 1024 * 1024;
/// How long a stream waits for its first listener: whoever asked may have left, and be about to
/// ask again.
const PARKED: Duration = Duration::from_secs(30);

/// Runs the invocation, or joins the one that the same call of an SDK has begun.
pub(super) async fn invoke(api: Arc<Api>, target: Target, parts: Parts, body: Body) -> Response {
    let Some(key) = key(&target, &parts.headers) else { return run(&api, &target, &parts, body).await.0 };
    let turn = match turn(&api, &key).await {
        Ok(turn) => turn,
        Err(error) => {
            read_rest(body).await;
            return error.into_response();
        }
    };
    match turn {
        Turn::Unrecorded => run(&api, &target, &parts, body).await.0,
        Turn::First(recording) => {
            let answer = recording.clone().listen();
            let body = Body::new(Passing::new(body, recording.clone()));
            tokio::spawn(record(api, key, recording, target, parts, body));
            heard(answer.await)
        }
        Turn::Again(recording) => hear_again(recording, body).await,
    }
}

/// Whose turn it is, unless the call was made as a durable invocation before.
async fn turn(api: &Api, key: &Key) -> Result<Turn, AwsError> {
    if !api.invocations.has_sdk_keys() {
        let turn = api.replays.turn(key);
        // The first durable call of an SDK says so before it looks at what is recorded here: one of the
        // two sees the other.
        match &turn {
            Turn::First(recording) if api.invocations.has_sdk_keys() => {
                recording.end(Ending::BrokenOff);
                api.replays.forget(key);
            }
            _ => return Ok(turn),
        }
    }
    let name = durable::sdk_key(&key.invocation);
    let _turn = api.invocations.turn(&key.principal, &key.agent, &name).await;
    match api.invocations.of_key(&key.principal, &key.agent, &name).await? {
        None => Ok(api.replays.turn(key)),
        Some(known) => {
            let id = known.record().id;
            Err(AwsError::conflict(format!(
                "this call was made with `Prefer: respond-async` before: its answer is at \
                 /_agentcore/v1/invocations/{id}/answer"
            )))
        }
    }
}

/// The answer for who sends the same call again.
async fn hear_again(recording: Arc<Recording>, body: Body) -> Response {
    // A client that cannot send its payload does not come to read the answer.
    let payload = hash_of(body, MAX_PAYLOAD_BYTES).await;
    if recording.is_of_another(payload) {
        return AwsError::another_call().into_response();
    }
    let answer = recording.clone().listen_again().await;
    // It may have become known only now.
    if recording.is_of_another(payload) {
        return AwsError::another_call().into_response();
    }
    heard(answer)
}

fn key(target: &Target, headers: &HeaderMap) -> Option<Key> {
    let invocation = headers.get(SDK_INVOCATION_ID)?.to_str().ok()?;
    let is_one = !invocation.is_empty() && invocation.len() <= LONGEST_ID;
    is_one.then(|| Key {
        principal: target.key.principal.clone(),
        agent: target.key.agent.clone(),
        session: target.named.then(|| target.key.session.clone()),
        invocation: invocation.to_owned(),
    })
}

fn heard(answer: Result<Response, Unheard>) -> Response {
    let told = match answer {
        Ok(answer) => return answer,
        Err(Unheard::RanNothing) => {
            AwsError::new(Exception::RetryableConflict, "the earlier attempt reached no agent: try again")
        }
        Err(Unheard::NoAnswer) => AwsError::internal(),
        Err(Unheard::TooMuch) => {
            AwsError::conflict("the answer was too large to be kept, and was given to an earlier attempt")
        }
    };
    told.into_response()
}

/// Runs the invocation to its end, whoever listens.
async fn record(
    api: Arc<Api>,
    key: Key,
    recording: Arc<Recording>,
    target: Target,
    parts: Parts,
    body: Body,
) {
    let mut running = Running { api, key, recording, ending: Ending::BrokenOff, ran_nothing: false };
    let (answer, ran_nothing) = run(&running.api, &target, &parts, body).await;
    if ran_nothing {
        // The next attempt is the first one again.
        running.api.replays.forget(&running.key);
        running.ran_nothing = true;
    }
    let (head, body) = answer.into_parts();
    let is_stream = is_event_stream(&head.headers);
    running.recording.begin(head, ran_nothing);
    running.ending = tape(&running.api, &running.recording, body, is_stream).await;
}

/// An invocation that is recorded. However its task ends, those who listen hear of it.
struct Running {
    api: Arc<Api>,
    key: Key,
    recording: Arc<Recording>,
    ending: Ending,
    ran_nothing: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.recording.end(self.ending);
        if !self.ran_nothing {
            // Also if it broke off: the agent may have run.
            self.api.replays.keep(self.key.clone());
        }
    }
}

async fn tape(api: &Api, recording: &Recording, mut body: Body, is_stream: bool) -> Ending {
    loop {
        if is_stream && timeout(PARKED, recording.heard()).await.is_err() {
            return Ending::BrokenOff;
        }
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // Dropping the body tells the agent that nobody listens any more.
            () = recording.abandoned(), if is_stream => return Ending::BrokenOff,
        };
        let piece = match frame {
            None => return Ending::Whole,
            Some(Err(_)) => return Ending::BrokenOff,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        if !piece.is_empty() && !add(api, recording, piece).await {
            return Ending::BrokenOff;
        }
    }
}

/// Adds a piece once there is room for it. Whether anybody may want the rest.
async fn add(api: &Api, recording: &Recording, piece: Bytes) -> bool {
    loop {
        let kept = recording.bytes();
        let fits = kept + piece.len() <= MOST_OF_ANSWER && api.replays.make_room(piece.len());
        if fits || kept == 0 {
            recording.add(piece);
            return true;
        }
        let moved = recording.moved();
        if !recording.drop_heard() {
            // Whoever reads it slowly is waited for; where nobody does, nobody is to come.
            if timeout(PARKED, recording.heard()).await.is_err() {
                return false;
            }
            moved.await;
        }
    }
}
