//! The end of one task, asked for by a caller: the host asks the agent's SDK, on the agent's own
//! socket. The path is the host's alone: what callers send never reaches it.

use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::TaskId;
use agentcore_protocol::agent::cancel_task_path;
use agentcore_sandbox::Sandbox;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::HOST;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::view::TaskView;
use super::{Api, ApiError, find};
use crate::api::caller::Caller;
use crate::api::error::NotCancelled;
use crate::link::{Link, without_payload};
use crate::store::TaskState;

/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of its answer.
const MOST_OF_ANSWER: usize = 4 * 1024;

/// Returns once the agent knows. The task ends when its code does.
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path((incarnation, task)): Path<(String, String)>,
) -> Result<(StatusCode, Json<TaskView>), ApiError> {
    let record = find(&api, &caller, &incarnation, &task).await?;
    if record.state != TaskState::Running {
        return Err(not_running(record.state.as_str()));
    }
    // One whose session has ended is about to be lost.
    let session = api.manager.incarnation(record.incarnation).ok_or(not_running("lost"))?;
    let sandbox = session.sandbox().ok_or(not_running("lost"))?;
    let told = timeout(PATIENCE, tell(&**sandbox, record.task_id)).await;
    match told.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs()))) {
        Ok(Told::Accepted) => {
            session.note("task_cancelled", format!("somebody asked for the end of task {}", record.task_id));
            let record = find(&api, &caller, &incarnation, &task).await?;
            Ok((StatusCode::ACCEPTED, Json(record.into())))
        }
        Ok(Told::NotRunning) => Err(not_running("over")),
        Ok(Told::Unable) => Err(ApiError::NotCancelled(NotCancelled::Unable)),
        Err(problem) => Err(ApiError::NotCancelled(NotCancelled::NotTold(problem))),
    }
}

fn not_running(what: &'static str) -> ApiError {
    ApiError::NotCancelled(NotCancelled::NotRunning(what))
}

/// What an agent says to it.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Accepted,
    NotRunning,
    /// It does not know what it was asked.
    Unable,
}

async fn tell(sandbox: &dyn Sandbox, task: TaskId) -> Result<Told, String> {
    let mut link = Link::open(sandbox).await.map_err(|error| format!("it accepts no connection: {error}"))?;
    let mut request = without_payload();
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::try_from(cancel_task_path(task)).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    let answer = link.send(&mut request, Some(Instant::now() + PATIENCE)).await;
    let answer = answer.map_err(|error| format!("the connection failed: {error}"))?;
    let status = answer.status();
    let mut body = std::pin::pin!(Limited::new(answer.into_body(), MOST_OF_ANSWER).collect());
    let body =
        std::future::poll_fn(|context| link.drive(context, |context| body.as_mut().poll(context))).await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(understand(status, &body, task))
}

/// An agent that answers whatever it is asked with 202 has not understood: the SDK repeats the task.
fn understand(status: StatusCode, body: &[u8], task: TaskId) -> Told {
    #[derive(Deserialize)]
    struct Accepted {
        task_id: TaskId,
    }
    match status {
        StatusCode::ACCEPTED
            if serde_json::from_slice(body).is_ok_and(|Accepted { task_id }| task_id == task) =>
        {
            Told::Accepted
        }
        StatusCode::CONFLICT => Told::NotRunning,
        _ => Told::Unable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_sdk_that_names_the_task_has_understood() {
        let task = TaskId::from_random(6);
        let understood = |status: u16, body: &str| {
            understand(StatusCode::from_u16(status).unwrap(), body.as_bytes(), task)
        };
        assert_eq!(understood(202, r#"{"task_id":7}"#), Told::Accepted);
        assert_eq!(understood(409, "{}"), Told::NotRunning);
        for (status, body) in
            [(202, "{}"), (202, r#"{"task_id":8}"#), (200, ""), (404, "Not Found"), (405, ""), (500, "")]
        {
            assert_eq!(understood(status, body), Told::Unable, "{status} {body}");
        }
    }
}
