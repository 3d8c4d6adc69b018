//! This project's own paths: agents, sessions with their timelines and logs, tasks, the host.

mod agents;
mod code;
mod host;
mod invocations;
mod logs;
mod sessions;
mod tasks;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{delete, get, post};

use super::{Api, ApiError, caller};

pub(super) use invocations::InvocationView;

/// What is for operators alone.
fn operators() -> Router<Arc<Api>> {
    Router::new()
        .route("/agents", get(agents::list))
        .route("/agents/{name}", delete(agents::forget))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", get(sessions::show))
        .route("/sessions/{id}/stop", post(sessions::stop))
        .route("/sessions/{id}/logs", get(logs::read))
        .route("/host", get(host::show))
        .layer(from_fn(caller::operates))
}

pub(super) fn router() -> Router<Arc<Api>> {
    operators()
        .merge(code::router())
        .merge(invocations::router())
        .merge(tasks::router())
        .layer(from_fn(caller::is_known))
}
