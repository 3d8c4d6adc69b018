//! Agents that the host is told of when it starts.

use std::sync::Arc;

use agentcore_protocol::Timestamp;
use serde_json::Value;

use super::catalogue::{Catalogue, Change, NewRuntime};
use super::record::{DEFAULT_ENDPOINT, Tags};
use super::{Registry, RegistryError, Settings};
use crate::agent::AgentDefinition;

/// Versions that are kept of an agent that is launched again and again.
const KEPT: usize = 100;

impl Registry {
    /// Registers an agent, or its new definition as the next version.
    pub(crate) async fn register(self: &Arc<Self>, definition: AgentDefinition) -> Result<(), RegistryError> {
        let decide = |catalogue: &Catalogue, at| Ok((registered(catalogue, definition, at)?, Value::Null));
        self.change(None, decide).await.map(drop)
    }

    /// Forgets what is served under a name: a runtime, or an endpoint of one. Its sessions end.
    pub(crate) async fn forget(self: &Arc<Self>, served_as: &str) -> Result<(), RegistryError> {
        let (name, endpoint) = served_as.split_once('@').unwrap_or((served_as, DEFAULT_ENDPOINT));
        let decide = |catalogue: &Catalogue, _| {
            let runtime = catalogue.runtime(name)?;
            let change = match endpoint {
                DEFAULT_ENDPOINT => Change::Delete(runtime.id.clone()),
                endpoint => Change::Put(Arc::new(runtime.without_endpoint(endpoint)?)),
            };
            Ok((change, Value::Null))
        };
        self.change(None, decide).await.map(drop)
    }
}

/// A launch from another shell, with another environment, is no new version.
fn registered(
    catalogue: &Catalogue,
    definition: AgentDefinition,
    at: Timestamp,
) -> Result<Change, RegistryError> {
    let settings = Settings::local(&catalogue.identity.role());
    let Ok(known) = catalogue.runtime(&definition.name) else {
        let new = NewRuntime { settings, definition, tags: Tags::new() };
        return Ok(Change::Put(Arc::new(catalogue.create(new, at)?)));
    };
    let (number, newest) = known.version(None)?;
    if newest.definition == definition {
        return Ok(Change::Nothing);
    }
    let same_but_environment = AgentDefinition { env: newest.definition.env.clone(), ..definition.clone() };
    if newest.definition != same_but_environment || newest.settings != settings {
        let known = known.with_versions_at_most(KEPT - 1);
        return Ok(Change::Put(Arc::new(known.with_version(settings, definition, at)?)));
    }
    let mut runtime = (**known).clone();
    if let Some(version) = runtime.versions.get_mut(&number) {
        Arc::make_mut(version).definition = definition;
    }
    Ok(Change::Put(Arc::new(runtime)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::AwsIdentity;

    fn put(change: Change) -> Arc<crate::registry::Runtime> {
        match change {
            Change::Put(runtime) => runtime,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_is_run_makes_a_version() {
        let at = Timestamp::from_unix_millis;
        let mut catalogue = Catalogue::new(AwsIdentity::default(), Vec::new());
        let mut definition = AgentDefinition::new("writer", "/bin/1", "/srv");
        let first = put(registered(&catalogue, definition.clone(), at(1)).unwrap());
        catalogue.apply(Change::Put(first.clone()));
        assert!(matches!(registered(&catalogue, definition.clone(), at(2)).unwrap(), Change::Nothing));
        definition.env.insert("SHLVL".into(), "2".into());
        let second = put(registered(&catalogue, definition.clone(), at(3)).unwrap());
        assert_eq!((second.last_version, &second.versions[&1].definition), (1, &definition));
        catalogue.apply(Change::Put(second));
        definition.program = "/bin/2".into();
        let third = put(registered(&catalogue, definition, at(4)).unwrap());
        assert_eq!((third.last_version, third.endpoints["DEFAULT"].version, &third.id), (2, 2, &first.id));
    }
}
