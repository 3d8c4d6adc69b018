//! Agents: list, forget.

use std::path::PathBuf;
use std::sync::Arc;

use agentcore_protocol::SessionId;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;

use super::{Api, ApiError};
use crate::registry::RegistryError;

#[derive(Serialize)]
pub(super) struct AgentList {
    agents: Vec<AgentView>,
}

#[derive(Serialize)]
struct AgentView {
    name: String,
    default: bool,
    /// The session of those who name none.
    default_session: SessionId,
    program: PathBuf,
    args: Vec<String>,
    lifecycle: LifecycleView,
    running_sessions: usize,
}

#[derive(Serialize)]
struct LifecycleView {
    idle_timeout: u64,
    max_lifetime: u64,
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<AgentList> {
    let default = api.agent(None).ok();
    let living = api.manager.living();
    let agents = api.manager.agents().into_iter().map(|agent| {
        let definition = &agent.definition;
        AgentView {
            name: definition.name.clone(),
            default: default.as_ref().is_some_and(|default| default.name == agent.name),
            default_session: agent.default_session.clone(),
            program: definition.program.clone(),
            args: definition.args.clone(),
            lifecycle: LifecycleView {
                idle_timeout: definition.lifecycle.idle_timeout().as_secs(),
                max_lifetime: definition.lifecycle.max_lifetime().as_secs(),
            },
            running_sessions: living.iter().filter(|session| session.key.agent == agent.name).count(),
        }
    });
    Json(AgentList { agents: agents.collect() })
}

/// Stops the agent's sessions and forgets it. Returns once the stops are decided.
pub(super) async fn forget(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    api.registry.forget(&name).await.map_err(|error| match error {
        RegistryError::Store(error) => ApiError::Store(error),
        _ => ApiError::UnknownAgent(name),
    })?;
    Ok(StatusCode::NO_CONTENT)
}
