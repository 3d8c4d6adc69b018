//! An agent's answer as it was.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};

use super::{Asked, InvocationView, Wait, find, waited};
use crate::api::call::Stamp;
use crate::api::caller::Caller;
use crate::api::{Api, ApiError, durable};
use crate::invocations::Known;

/// Status, content type and body; what is there, and what comes in while the agent answers. Before
/// the agent has begun, the state of things with 202.
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
    wait: Asked<Wait>,
) -> Result<Response, ApiError> {
    let wait = wait?.duration()?;
    let known = waited(find(&api, &caller, &id).await?, wait).await;
    let record = known.record();
    let Some(kept) = &record.answer else {
        if record.state.is_over() {
            return Err(ApiError::Unanswered(record.state, record.reason));
        }
        let again = [(RETRY_AFTER, "1")];
        return Ok((StatusCode::ACCEPTED, again, Json(InvocationView::of(&record))).into_response());
    };
    let mut response = match known {
        Known::Live(live) if !record.state.is_over() => durable::followed(live, &kept.head),
        _ => durable::answer(&api, &record, &kept.head).await?,
    };
    // It may be anything, so a browser must not guess what it is.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(Stamp::of(record.key.session.clone(), record.id).on(response))
}
