//! The host itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use agentcore_protocol::Timestamp;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Api;
use crate::store::Phase;

#[derive(Serialize)]
pub(super) struct HostView {
    version: &'static str,
    pid: u32,
    started_at: Timestamp,
    state: PathBuf,
    listen: SocketAddr,
    agents: usize,
    sessions: Counts,
}

#[derive(Default, Serialize)]
struct Counts {
    starting: usize,
    active: usize,
    idle: usize,
    stopping: usize,
}

pub(super) async fn show(State(api): State<Arc<Api>>) -> Json<HostView> {
    let mut sessions = Counts::default();
    for session in api.manager.living() {
        match session.published().phase {
            Phase::Starting => sessions.starting += 1,
            Phase::Active => sessions.active += 1,
            Phase::Idle if session.in_flight() > 0 => sessions.active += 1,
            Phase::Idle => sessions.idle += 1,
            Phase::Stopping => sessions.stopping += 1,
            Phase::Stopped => {}
        }
    }
    Json(HostView {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        started_at: api.started_at,
        state: api.state.clone(),
        listen: api.address,
        agents: api.manager.agents().len(),
        sessions,
    })
}
