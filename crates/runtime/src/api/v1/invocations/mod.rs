//! Durable invocations: list, show, read, follow, cancel, remove. Everybody sees their own, and who
//! looks after the host sees all.

mod answer;
mod events;
mod list;
mod view;

use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::InvocationId;
use axum::Json;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::time::timeout;

use super::{Api, ApiError};
use crate::api::caller::Caller;
use crate::invocations::{self, Known};

pub(in crate::api) use view::InvocationView;

/// How long whoever cancels waits for it to be on record.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);
/// The longest that a caller can have the host wait.
const LONGEST_WAIT: f64 = 600.0;

pub(in crate::api) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/invocations", get(list::list))
        .route("/invocations/{id}", get(show).delete(remove))
        .route("/invocations/{id}/answer", get(answer::read))
        .route("/invocations/{id}/events", get(events::follow))
        .route("/invocations/{id}/cancel", post(cancel))
}

/// How long to wait for the end.
#[derive(Deserialize)]
struct Wait {
    /// Seconds.
    #[serde(default)]
    wait: f64,
}

/// A query, or why it cannot be read.
type Asked<T> = Result<Query<T>, QueryRejection>;

impl Wait {
    fn duration(&self) -> Result<Duration, ApiError> {
        // NaN is neither.
        let wait = Some(self.wait).filter(|wait| *wait >= 0.0).map(|wait| wait.min(LONGEST_WAIT));
        wait.map(Duration::from_secs_f64).ok_or(ApiError::BadRequest("`wait` is a number of seconds"))
    }
}

async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
    wait: Asked<Wait>,
) -> Result<Json<InvocationView>, ApiError> {
    let wait = wait?.duration()?;
    let known = find(&api, &caller, &id).await?;
    Ok(Json(InvocationView::of(&waited(known, wait).await.record())))
}

async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<InvocationView>), ApiError> {
    let known = find(&api, &caller, &id).await?;
    if let Known::Live(live) = &known {
        live.cancelled.cancel();
        let _ = timeout(CANCEL_PATIENCE, live.ended()).await;
    }
    let record = known.record();
    let status = match record.state {
        invocations::State::Cancelled => StatusCode::OK,
        // It will be, as soon as that can be recorded.
        state if !state.is_over() => StatusCode::ACCEPTED,
        other => return Err(ApiError::HasEnded(other)),
    };
    Ok((status, Json(InvocationView::of(&record))))
}

async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let record = find(&api, &caller, &id).await?.record();
    if !record.state.is_over() {
        return Err(ApiError::StillRuns("invocation"));
    }
    api.invocations.forget(vec![record.id]).await?;
    api.store.leave_no_trace();
    Ok(StatusCode::NO_CONTENT)
}

/// The invocation of that id, if the caller may see it.
async fn find(api: &Api, caller: &Caller, id: &str) -> Result<Known, ApiError> {
    let id: InvocationId = id.parse().map_err(|_| ApiError::UnknownInvocation)?;
    let known = api.invocations.find(id).await?.ok_or(ApiError::UnknownInvocation)?;
    let key = match &known {
        Known::Live(live) => &live.key,
        Known::Over(record) => &record.key,
    };
    // Another's is as if it were not there.
    if caller.sees(key) { Ok(known) } else { Err(ApiError::UnknownInvocation) }
}

/// As it is once it has ended, or when the wait is over.
async fn waited(known: Known, wait: Duration) -> Known {
    if let Known::Live(live) = &known {
        let _ = timeout(wait, live.ended()).await;
    }
    known
}
