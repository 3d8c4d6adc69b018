//! Which agents a host serves: those it is told of, and those that the store remembers.

use std::sync::Arc;

use agentcore_protocol::{SessionId, Timestamp};
use uuid::Uuid;

use super::HostError;
use crate::agent::AgentDefinition;
use crate::key::Principal;
use crate::options::HostOptions;
use crate::session::{Agent, Manager};
use crate::store::{Store, StoreError, Write};

/// Remembers the agents that the host is told of, and serves all that are remembered.
pub(super) async fn register(
    options: &HostOptions,
    store: &Store,
    manager: &Manager,
    at: Timestamp,
) -> Result<(), HostError> {
    for definition in &options.agents {
        store.write(Write::RegisterAgent { definition: definition.clone(), at }).await?;
    }
    for definition in store.agents().await? {
        let default_session = default_session(store, &definition).await?;
        let name = definition.name.as_str().into();
        manager.add_agent(Agent { name, definition, default_session });
    }
    Ok(())
}

/// The session of those who name none. It stays the same from host to host.
async fn default_session(store: &Store, definition: &AgentDefinition) -> Result<SessionId, StoreError> {
    let (principal, agent) = (Principal::local(), definition.name.clone());
    if let Some(session) = store.default_session(principal.clone(), agent.clone()).await? {
        return Ok(session);
    }
    let session = SessionId::from(Uuid::new_v4());
    store.write(Write::DefaultSession { principal, agent, session: session.clone() }).await?;
    Ok(session)
}

/// The agent at the root: the one that the options name, or the only one they hold.
pub(super) fn default_agent(
    options: &HostOptions,
    manager: &Arc<Manager>,
) -> Result<Option<String>, HostError> {
    match (&options.default_agent, &*options.agents) {
        (Some(name), _) if manager.agent(name).is_none() => Err(HostError::UnknownDefaultAgent(name.clone())),
        (Some(name), _) => Ok(Some(name.clone())),
        (None, [only]) => Ok(Some(only.name.clone())),
        (None, _) => Ok(None),
    }
}
