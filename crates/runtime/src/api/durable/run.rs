//! Runs one durable invocation from beginning to end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use tokio::time::{sleep, timeout};

use crate::api::call::Call;
use crate::api::proxy::is_event_stream;
use crate::api::{Api, ApiError};
use crate::invocations::{End, Head, Live, Payload, REQUEST, Recorder, Request, State, body, keep_synced};
use crate::options::AnswerPatience;
use crate::session::SessionHandle;
use crate::store::Write;

/// Most bytes that are written at once.
const PORTION: usize = 64 * 1024;
/// How long the host waits to learn that a lost connection was the end of the session.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// How an invocation came to its end.
struct Outcome {
    state: State,
    reason: Option<String>,
    /// The agent's answer is whole.
    complete: bool,
}

impl Outcome {
    fn without_end(state: State, reason: impl Into<String>) -> Self {
        Self { state, reason: Some(reason.into()), complete: false }
    }
}

/// Runs an invocation that is on disk. Only its end, or that of the host, ends it.
pub(super) async fn run(api: Arc<Api>, live: Arc<Live>, call: Call, request: Request) {
    let mut recorder = Recorder::new(live.clone(), api.invocations.files.clone(), api.store.clone());
    let in_file = matches!(request.payload, Payload::InFile);
    let outcome = tokio::select! {
        biased;
        () = live.cancelled.cancelled() => {
            Some(Outcome::without_end(State::Cancelled, "somebody asked for its end"))
        }
        () = api.invocations.stopping.cancelled() => live.has_started().then(|| {
            Outcome::without_end(State::Interrupted, "the host shut down while it ran")
        }),
        outcome = work(&api, &live, call, request, &mut recorder) => outcome,
    };
    // Without one, no agent has it: the next host begins it.
    let Some(Outcome { state, reason, complete }) = outcome else { return };
    let answer = recorder.end(complete).await;
    let end = End { state, at: api.clock.timestamp(), reason, answer };
    api.invocations.end(&live, end).await;
    if in_file {
        api.invocations.files.remove(live.id, REQUEST).await;
    }
}

async fn work(
    api: &Api,
    live: &Live,
    call: Call,
    request: Request,
    recorder: &mut Recorder,
) -> Option<Outcome> {
    if !live.has_started() {
        tokio::select! {
            biased;
            () = api.invocations.draining.cancelled() => return None,
            ready = call.session().ready() => if let Err(ended) = ready {
                return Some(failed(ApiError::DidNotStart(ended)));
            },
        }
        let (id, incarnation, at) = (live.id, call.session().incarnation, api.clock.timestamp());
        // On disk before the agent has it, so that no later host gives it to an agent again.
        api.store.write_until_done(|| Write::Start { id, incarnation, at }).await;
        live.start(incarnation, at);
    }
    let session = call.session().clone();
    let (headers, body) = match body(&api.invocations.files, live.id, request).await {
        Ok(request) => request,
        Err(error) => return Some(failed(ApiError::Files(error))),
    };
    let most = api.timeouts.durable;
    let answered = async {
        // It has one limit, on all of it together.
        match call.run(AnswerPatience::ENDLESS, headers, body).await {
            Ok(answer) => record(answer, recorder, &session).await,
            Err(error) => failed(error),
        }
    };
    Some(tokio::select! {
        outcome = answered => outcome,
        () = sleep(most) => {
            Outcome::without_end(State::Failed, format!("it took longer than {} s", most.as_secs_f64()))
        }
        never = keep_synced(live) => match never {},
    })
}

/// Takes down the answer.
async fn record(answer: Response, recorder: &mut Recorder, session: &SessionHandle) -> Outcome {
    let (parts, mut body) = answer.into_parts();
    let status = parts.status;
    let is_stream = is_event_stream(&parts.headers);
    recorder.begin(Head { status: status.as_u16(), headers: parts.headers }, is_stream).await;
    loop {
        let (pieces, progress) = portion(&mut body).await;
        recorder.add(pieces).await;
        match progress {
            Progress::More => {}
            Progress::Whole => break,
            Progress::BrokenOff(error) => return broken_off(&error, session).await,
        }
    }
    if status.as_u16() < StatusCode::BAD_REQUEST.as_u16() {
        return Outcome { state: State::Completed, reason: None, complete: true };
    }
    let reason = Some(format!("the agent answered {status}"));
    Outcome { state: State::Failed, reason, complete: true }
}

/// How far a body is.
enum Progress {
    More,
    Whole,
    BrokenOff(axum::Error),
}

/// What has come in, once something has.
async fn portion(body: &mut Body) -> (Vec<Bytes>, Progress) {
    let mut pieces = Vec::new();
    let mut bytes = 0;
    while bytes < PORTION {
        let frame = match pieces.is_empty() {
            true => body.frame().await,
            false => match body.frame().now_or_never() {
                Some(frame) => frame,
                None => break,
            },
        };
        match frame {
            None => return (pieces, Progress::Whole),
            Some(Err(error)) => return (pieces, Progress::BrokenOff(error)),
            Some(Ok(frame)) => {
                let piece = frame.into_data().unwrap_or_default();
                bytes += piece.len();
                pieces.extend(Some(piece).filter(|piece| !piece.is_empty()));
            }
        }
    }
    (pieces, Progress::More)
}

/// Whether the end of the session is behind it decides what it is called.
async fn broken_off(error: &axum::Error, session: &SessionHandle) -> Outcome {
    match timeout(END_PATIENCE, session.until_ending()).await {
        Ok(ended) => failed(ApiError::EndedMidway(ended)),
        Err(_) => Outcome::without_end(State::Failed, error.to_string()),
    }
}

fn failed(error: ApiError) -> Outcome {
    let state = match &error {
        ApiError::EndedMidway(_) => State::Interrupted,
        _ => State::Failed,
    };
    error.log();
    let body = error.body();
    let details = body.details.map(|details| format!(": {details}")).unwrap_or_default();
    Outcome::without_end(state, format!("{}{details}", body.error))
}
