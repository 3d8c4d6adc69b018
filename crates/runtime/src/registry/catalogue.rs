//! What is registered, and every change of it as a pure function.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentcore_protocol::Timestamp;

use super::arn::{self, AwsIdentity};
use super::error::RegistryError;
use super::record::{DEFAULT_ENDPOINT, Endpoint, Runtime, Tags, Version, new_id};
use super::settings::Settings;
use crate::agent::AgentDefinition;

/// Most runtimes, as on AWS.
const MAX_RUNTIMES: usize = 1_000;
/// Most versions of a runtime.
const MAX_VERSIONS: usize = 1_000;
/// Most endpoints of a runtime.
const MAX_ENDPOINTS: usize = 10;
/// Version numbers have up to five digits.
const LAST_VERSION: u32 = 99_999;
/// Most tags of one thing.
const MAX_TAGS: usize = 50;

/// What to change.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A runtime is new, or has become this.
    Put(Arc<Runtime>),
    /// The runtime of that id is no more.
    Delete(String),
    /// All is as it should be.
    Nothing,
}

/// A runtime to be made.
pub(crate) struct NewRuntime {
    pub(crate) settings: Settings,
    pub(crate) definition: AgentDefinition,
    pub(crate) tags: Tags,
}

/// Every runtime.
pub(crate) struct Catalogue {
    pub(crate) identity: AwsIdentity,
    runtimes: BTreeMap<String, Arc<Runtime>>,
}

impl Catalogue {
    pub(super) fn new(identity: AwsIdentity, runtimes: Vec<Runtime>) -> Self {
        let runtimes = runtimes.into_iter().map(|runtime| (runtime.id.clone(), Arc::new(runtime)));
        Self { identity, runtimes: runtimes.collect() }
    }

    /// Every runtime, by id.
    pub(crate) fn runtimes(&self) -> impl Iterator<Item = &Arc<Runtime>> {
        self.runtimes.values()
    }

    /// The runtime of an ARN, an id or a name.
    pub(crate) fn runtime(&self, text: &str) -> Result<&Arc<Runtime>, RegistryError> {
        let (wanted, _) = arn::parse(text);
        let by_name = || self.runtimes.values().find(|runtime| runtime.name == wanted);
        self.runtimes.get(wanted).or_else(by_name).ok_or_else(|| RegistryError::no_runtime(wanted))
    }

    /// The runtime of an ARN, an id or a name, and the name of the endpoint that is meant.
    pub(crate) fn endpoint(
        &self,
        text: &str,
        qualifier: Option<&str>,
    ) -> Result<(&Arc<Runtime>, &str), RegistryError> {
        let runtime = self.runtime(text)?;
        let wanted = arn::endpoint(arn::parse(text).1, qualifier);
        match runtime.endpoints.get_key_value(wanted) {
            Some((name, _)) => Ok((runtime, name)),
            None => Err(RegistryError::no_endpoint(wanted)),
        }
    }

    /// Makes a runtime with its first version and its endpoint `DEFAULT`.
    pub(crate) fn create(&self, new: NewRuntime, at: Timestamp) -> Result<Runtime, RegistryError> {
        let NewRuntime { settings, definition, tags } = new;
        let name = definition.name.clone();
        if self.runtimes.values().any(|runtime| runtime.name == name) {
            let message =
                format!("there is an agent runtime {name:?} already: update it, or take another name");
            return Err(RegistryError::Conflict(message));
        }
        if self.runtimes.len() >= MAX_RUNTIMES {
            let message =
                format!("this host has {MAX_RUNTIMES} agent runtimes, as many as it may: delete one");
            return Err(RegistryError::TooMany(message));
        }
        check_tags(&tags)?;
        let mut runtime = Runtime {
            id: new_id(&name),
            name,
            created_at: at,
            last_version: 1,
            tags,
            versions: BTreeMap::from([(1, Arc::new(Version { settings, definition, created_at: at }))]),
            endpoints: BTreeMap::new(),
        };
        runtime.follow_newest(at);
        Ok(runtime)
    }

    /// The thing of that ARN: a runtime, and its endpoint if the ARN names one.
    pub(crate) fn resource(&self, text: &str) -> Result<(&Arc<Runtime>, Option<&str>), RegistryError> {
        let runtime = self.runtime(text)?;
        match arn::parse(text).1 {
            None => Ok((runtime, None)),
            Some(name) => self.endpoint(text, Some(name)).map(|(runtime, name)| (runtime, Some(name))),
        }
    }

    /// Takes in a change. What the runtime was before.
    pub(super) fn apply(&mut self, change: Change) -> Option<Arc<Runtime>> {
        match change {
            Change::Put(runtime) => self.runtimes.insert(runtime.id.clone(), runtime),
            Change::Delete(id) => self.runtimes.remove(&id),
            Change::Nothing => None,
        }
    }
}

impl Runtime {
    /// The runtime with one version more, which `DEFAULT` now means.
    pub(crate) fn with_version(
        &self,
        settings: Settings,
        definition: AgentDefinition,
        at: Timestamp,
    ) -> Result<Self, RegistryError> {
        if self.versions.len() >= MAX_VERSIONS || self.last_version >= LAST_VERSION {
            let message =
                format!("the runtime has {} versions, as many as it may: delete some", self.versions.len());
            return Err(RegistryError::TooMany(message));
        }
        let mut runtime = self.clone();
        runtime.last_version += 1;
        let version = Version { settings, definition, created_at: at };
        runtime.versions.insert(runtime.last_version, Arc::new(version));
        runtime.follow_newest(at);
        Ok(runtime)
    }

    /// The runtime with no more than `most` versions: the oldest that no endpoint means go first.
    pub(super) fn with_versions_at_most(&self, most: usize) -> Self {
        let mut runtime = self.clone();
        let is_meant = |number: &u32| self.endpoints.values().any(|endpoint| endpoint.version == *number);
        let excess = self.versions.len().saturating_sub(most);
        for number in self.versions.keys().filter(|number| !is_meant(number)).take(excess) {
            runtime.versions.remove(number);
        }
        runtime
    }

    /// The runtime without a version that no endpoint means.
    pub(crate) fn without_version(&self, number: u32) -> Result<Self, RegistryError> {
        if let Some((name, _)) = self.endpoints.iter().find(|(_, endpoint)| endpoint.version == number) {
            let message = format!("endpoint {name:?} means version {number}: point it elsewhere first");
            return Err(RegistryError::Conflict(message));
        }
        let mut runtime = self.clone();
        runtime.versions.remove(&number).ok_or_else(|| RegistryError::no_version(&number.to_string()))?;
        Ok(runtime)
    }

    /// A version by its number as text; the newest if there is none.
    pub(crate) fn version(&self, number: Option<&str>) -> Result<(u32, &Version), RegistryError> {
        let Some(text) = number else {
            return self.newest().ok_or_else(|| RegistryError::no_version("1"));
        };
        let number = text.parse().map_err(|_| RegistryError::no_version(text))?;
        let version = self.versions.get(&number).ok_or_else(|| RegistryError::no_version(text))?;
        Ok((number, version))
    }

    /// The endpoint of that name.
    pub(crate) fn endpoint(&self, name: &str) -> Result<&Endpoint, RegistryError> {
        self.endpoints.get(name).ok_or_else(|| RegistryError::no_endpoint(name))
    }

    /// The runtime with one endpoint more.
    pub(crate) fn with_endpoint(
        &self,
        name: &str,
        version: Option<&str>,
        (description, tags): (Option<String>, Tags),
        at: Timestamp,
    ) -> Result<Self, RegistryError> {
        if self.endpoints.contains_key(name) {
            return Err(RegistryError::Conflict(format!("the runtime has an endpoint {name:?} already")));
        }
        if self.endpoints.len() >= MAX_ENDPOINTS {
            let message = format!("the runtime has {MAX_ENDPOINTS} endpoints, as many as it may: delete one");
            return Err(RegistryError::TooMany(message));
        }
        check_tags(&tags)?;
        let (version, _) = self.version(version)?;
        let mut runtime = self.clone();
        let endpoint = Endpoint { description, tags, ..Endpoint::new(name, version, at) };
        runtime.endpoints.insert(name.to_owned(), endpoint);
        Ok(runtime)
    }

    /// The runtime with an endpoint that means another version, or is described otherwise.
    pub(crate) fn with_endpoint_changed(
        &self,
        name: &str,
        version: Option<&str>,
        description: Option<String>,
        at: Timestamp,
    ) -> Result<Self, RegistryError> {
        let mut endpoint = self.endpoint(name)?.clone();
        if let Some(version) = version {
            let (version, _) = self.version(Some(version))?;
            if name == DEFAULT_ENDPOINT && version != endpoint.version {
                let message = "DEFAULT always means the newest version: make an endpoint of your own";
                return Err(RegistryError::Conflict(message.to_owned()));
            }
            endpoint.version = version;
        }
        endpoint.description = description.or(endpoint.description);
        endpoint.updated_at = at;
        let mut runtime = self.clone();
        runtime.endpoints.insert(name.to_owned(), endpoint);
        Ok(runtime)
    }

    /// The runtime without an endpoint.
    pub(crate) fn without_endpoint(&self, name: &str) -> Result<Self, RegistryError> {
        if name == DEFAULT_ENDPOINT {
            let message = "DEFAULT cannot be deleted: delete the runtime, or leave it";
            return Err(RegistryError::Conflict(message.to_owned()));
        }
        let mut runtime = self.clone();
        runtime.endpoints.remove(name).ok_or_else(|| RegistryError::no_endpoint(name))?;
        Ok(runtime)
    }

    /// The tags of the runtime, or of one of its endpoints.
    pub(crate) fn tags(&self, endpoint: Option<&str>) -> Result<&Tags, RegistryError> {
        endpoint.map_or(Ok(&self.tags), |name| Ok(&self.endpoint(name)?.tags))
    }

    /// The runtime with other tags, for itself or one of its endpoints.
    pub(crate) fn with_tags(&self, endpoint: Option<&str>, tags: Tags) -> Result<Self, RegistryError> {
        if tags.len() > MAX_TAGS {
            let message = format!("it may have {MAX_TAGS} tags: remove some");
            return Err(RegistryError::TooMany(message));
        }
        check_tags(&tags)?;
        let mut runtime = self.clone();
        match endpoint {
            None => runtime.tags = tags,
            Some(name) => {
                let endpoint = runtime.endpoints.get_mut(name);
                endpoint.ok_or_else(|| RegistryError::no_endpoint(name))?.tags = tags;
            }
        }
        Ok(runtime)
    }
}

fn check_tags(tags: &Tags) -> Result<(), RegistryError> {
    if tags.len() > MAX_TAGS {
        return Err(RegistryError::invalid("tags", format!("there may be {MAX_TAGS} tags")));
    }
    if tags.iter().any(|(key, value)| key.is_empty() || key.len() > 128 || value.len() > 256) {
        let message = "a tag's key has 1 to 128 characters, its value up to 256";
        return Err(RegistryError::invalid("tags", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
