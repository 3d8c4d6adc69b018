//! What an agent answered, as AWS's clients are told: what went well as it is, anything else as a
//! `RuntimeClientError` that says why.

use agentcore_sandbox::Sandbox;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use tokio::task::spawn_blocking;

use crate::api::ApiError;
use crate::api::aws::error::{AwsError, Exception};
use crate::session::SessionHandle;

/// How much of an agent's error is passed on.
const MOST_OF_ERROR: usize = 4 * 1024;
/// How much of the end of its log goes with it.
const MOST_OF_LOG: usize = 4 * 1024;
/// What an answer is whose agent does not say.
const UNKNOWN: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The answer for the caller. The log's end goes to the session's owner alone, who is who asks; a
/// session that is gone has none.
pub(in crate::api) async fn outcome(
    mut answer: Response,
    session: Option<&SessionHandle>,
) -> Result<Response, AwsError> {
    let status = answer.status();
    if !status.is_success() {
        return Err(told(status, answer, session).await);
    }
    // Clients read the status as a member of the answer; any success is one to them.
    answer.headers_mut().entry(CONTENT_TYPE).or_insert(UNKNOWN);
    Ok(answer)
}

/// As [`outcome`], of what the host may have had to answer itself.
pub(super) async fn outcome_of(
    answer: Result<Response, ApiError>,
    session: &SessionHandle,
) -> Result<Response, AwsError> {
    outcome(answer?, Some(session)).await
}

async fn told(status: StatusCode, answer: Response, session: Option<&SessionHandle>) -> AwsError {
    let said = beginning(answer).await;
    let mut message = format!("The agent answered {status}: {}", said.trim_end());
    if let Some(log) = log_tail(session).await {
        message.push_str("\nThe end of its log:\n");
        message.push_str(log.trim_end());
    }
    AwsError::new(Exception::RuntimeClientError, message)
}

async fn beginning(answer: Response) -> String {
    let mut body = answer.into_body().into_data_stream();
    let mut said = Vec::new();
    while said.len() < MOST_OF_ERROR
        && let Some(Ok(piece)) = body.next().await
    {
        said.extend_from_slice(&piece);
    }
    said.truncate(MOST_OF_ERROR);
    String::from_utf8_lossy(&said).into_owned()
}

async fn log_tail(session: Option<&SessionHandle>) -> Option<String> {
    let sandbox = session?.sandbox()?.clone();
    let tail = spawn_blocking(move || Sandbox::log_tail(&*sandbox, MOST_OF_LOG)).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&tail).into_owned();
    (!text.trim().is_empty()).then_some(text)
}
