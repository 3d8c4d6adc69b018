//! Which agents a host serves: those it is told of, and those that the store remembers.

use std::sync::Arc;

use super::HostError;
use crate::options::HostOptions;
use crate::registry::{Registry, RegistryError};
use crate::session::Manager;

/// Registers the agents that the host is told of.
pub(super) async fn register(options: &HostOptions, registry: &Arc<Registry>) -> Result<(), HostError> {
    for definition in &options.agents {
        registry.register(definition.clone()).await.map_err(|error| match error {
            RegistryError::Store(error) => HostError::Store(error),
            error => HostError::Register { agent: definition.name.clone(), why: error.to_string() },
        })?;
    }
    Ok(())
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
