//! `InvokeAgentRuntimeCommand`: runs a command beside an agent, in its session, and streams what it
//! writes as AWS's event stream.

mod events;
mod run;

use std::sync::Arc;
use std::time::Duration;

use agentcore_auth::Action;
use agentcore_sandbox::ExecCommand;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::api::aws::error::{AwsError, Exception};
use crate::api::aws::target::Target;
use crate::api::caller::Caller;
use crate::api::witness::Testimony;
use crate::api::{Api, ApiError};
use crate::session::InFlight;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("application/vnd.amazon.eventstream");
/// The longest command, in characters.
const LONGEST: usize = 65_536;
/// The longest that a command may take.
const MOST_SECONDS: u64 = 3_600;
/// Events that may wait for the caller; a command that writes more waits as well.
const WAITING: usize = 16;

#[derive(Deserialize)]
struct Request {
    command: String,
    #[serde(default = "default_timeout")]
    timeout: u64,
}

fn default_timeout() -> u64 {
    300
}

pub(super) async fn invoke(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, AwsError> {
    let target = Target::of(&api, &runtime, &caller, &headers, &uri)?;
    caller.must(Action::Manage, &target.key.agent)?;
    let request = read(&body)?;
    let command_bytes = Some(request.command.len());
    let call = target.begin(&api)?;
    let stamp = call.stamp();
    let answer = start(request, call.into_in_flight()).await;
    let mut answer = stamp.on(answer.unwrap_or_else(IntoResponse::into_response));
    answer.extensions_mut().insert(Testimony { command_bytes, ..Testimony::default() });
    Ok(answer)
}

fn read(body: &Bytes) -> Result<Request, AwsError> {
    let request: Request =
        serde_json::from_slice(body).map_err(|error| AwsError::unreadable(format!("the body: {error}")))?;
    if request.command.is_empty() || request.command.chars().count() > LONGEST {
        return Err(AwsError::invalid("command", format!("a command has 1 to {LONGEST} characters")));
    }
    if !(1..=MOST_SECONDS).contains(&request.timeout) {
        return Err(AwsError::invalid("timeout", format!("timeout is from 1 to {MOST_SECONDS} seconds")));
    }
    Ok(request)
}

/// Starts the command; the answer goes on as long as it runs.
async fn start(request: Request, in_flight: InFlight) -> Result<Response, AwsError> {
    let sandbox = in_flight.session().ready().await.map_err(ApiError::DidNotStart)?.clone();
    let command = ExecCommand { shell: request.command };
    let execution = sandbox.exec(&command).await.map_err(|error| {
        AwsError::new(Exception::RuntimeClientError, format!("the command cannot be started: {error}"))
    })?;
    let (events, mut received) = mpsc::channel(WAITING);
    let limit = Duration::from_secs(request.timeout);
    tokio::spawn(async move {
        run::run(execution, limit, events).await;
        drop(in_flight);
    });
    let stream = futures_util::stream::poll_fn(move |context| received.poll_recv(context));
    let mut response = Body::from_stream(stream).into_response();
    response.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
    Ok(response)
}
