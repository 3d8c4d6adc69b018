//! Tasks: list, show, wait for, cancel, remove. A caller sees those of their own sessions, an operator all.

mod cancel;
mod view;

use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::{IncarnationId, SessionId, TaskId};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::{Api, ApiError};
use crate::api::caller::Caller;
use crate::store::{RecordedTask, TaskFilter, TaskState, Write};
use view::TaskView;

/// How many tasks are listed unless asked otherwise.
const DEFAULT_LIMIT: u32 = 100;
/// How many are listed at most.
const MOST: u32 = 1_000;
/// How long somebody may wait for the end of a task at most.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/tasks", get(list))
        .route("/tasks/{incarnation}/{task}", get(show).delete(remove))
        .route("/tasks/{incarnation}/{task}/cancel", post(cancel::cancel))
}

#[derive(Deserialize)]
struct ListQuery {
    agent: Option<String>,
    session: Option<SessionId>,
    status: Option<TaskState>,
    task_id: Option<TaskId>,
    limit: Option<u32>,
    before: Option<String>,
}

#[derive(Serialize)]
struct TaskList {
    tasks: Vec<TaskView>,
}

async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<TaskList>, ApiError> {
    let Query(query) = query?;
    caller.must_list(query.agent.as_deref())?;
    let filter = TaskFilter {
        principal: caller.sees_only(),
        agent: query.agent,
        session: query.session,
        state: query.status,
        task_id: query.task_id,
        before: query.before.as_deref().map(named).transpose()?,
        limit: query.limit.unwrap_or(DEFAULT_LIMIT).min(MOST),
    };
    let tasks = api.store.tasks(filter).await?;
    Ok(Json(TaskList { tasks: tasks.into_iter().map(TaskView::from).collect() }))
}

/// A task by the name that the list gives it: `INCARNATION/TASK_ID`.
fn named(name: &str) -> Result<(IncarnationId, TaskId), ApiError> {
    let parts = name
        .split_once('/')
        .and_then(|(incarnation, task)| Some((incarnation.parse().ok()?, task.parse().ok()?)));
    parts.ok_or(ApiError::BadRequest("`before` names a task as INCARNATION/TASK_ID"))
}

#[derive(Deserialize)]
struct ShowQuery {
    /// Seconds to wait for its end.
    wait: Option<f64>,
}

async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path((incarnation, task)): Path<(String, String)>,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Json<TaskView>, ApiError> {
    // Before the record is read, so that an end in between is heard of.
    let mut news = api.journals.news();
    let mut record = find(&api, &caller, &incarnation, &task).await?;
    let Some(wait) = query?.wait else { return Ok(Json(record.into())) };
    let wait = Duration::try_from_secs_f64(wait)
        .map_err(|_| ApiError::BadRequest("`wait` is a number of seconds"))?
        .min(LONGEST_WAIT);
    let until_ended = async {
        while record.state == TaskState::Running {
            match news.recv().await {
                Ok(of) if of != record.incarnation => continue,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                // The host shuts down.
                Err(RecvError::Closed) => break,
            }
            record = find(&api, &caller, &incarnation, &task).await?;
        }
        Ok::<_, ApiError>(())
    };
    // It may still run then, and is told as it is.
    timeout(wait, until_ended).await.unwrap_or(Ok(()))?;
    Ok(Json(record.into()))
}

async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path((incarnation, task)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let RecordedTask { incarnation, task_id, state, .. } = find(&api, &caller, &incarnation, &task).await?;
    if state == TaskState::Running {
        return Err(ApiError::StillRuns("task"));
    }
    api.store.write(Write::ForgetTask { incarnation, task: task_id }).await?;
    api.store.leave_no_trace();
    Ok(StatusCode::NO_CONTENT)
}

/// The task of that name, if the caller may see it.
async fn find(api: &Api, caller: &Caller, incarnation: &str, task: &str) -> Result<RecordedTask, ApiError> {
    let (Ok(incarnation), Ok(task)) = (incarnation.parse(), task.parse()) else {
        return Err(ApiError::UnknownTask);
    };
    let found = api.store.task(incarnation, task).await?;
    found.filter(|task| caller.sees(&task.key)).ok_or(ApiError::UnknownTask)
}
