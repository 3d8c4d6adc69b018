//! The data plane: what reaches the sessions of agents.

mod card;
mod command;
mod invoke;
mod outcome;
mod recorded;
mod shell;
mod stop;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub(in crate::api) use outcome::outcome;

use crate::api::Api;
use crate::api::tokens::{self, DOCUMENT};

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/runtimes/{runtime}/invocations", post(invoke::invoke))
        .route("/runtimes/{runtime}/invocations/.well-known/agent-card.json", get(card::show))
        .route(&format!("/runtimes/{{runtime}}/{DOCUMENT}"), get(tokens::document))
        .route("/runtimes/{runtime}/commands", post(command::invoke))
        .route("/runtimes/{runtime}/stopruntimesession", post(stop::stop))
        .route("/runtimes/{runtime}/ws", get(websocket::open))
        .route("/runtimes/{runtime}/ws/shells", get(shell::refuse))
}
