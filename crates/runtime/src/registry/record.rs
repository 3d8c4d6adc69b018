//! What is registered.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentcore_protocol::Timestamp;

use super::settings::Settings;
use crate::agent::AgentDefinition;

/// The endpoint that every runtime has, and that follows its newest version.
pub(crate) const DEFAULT_ENDPOINT: &str = "DEFAULT";
/// Characters that tell runtimes of one name apart.
const SUFFIX: usize = 10;

/// Names and values that mean something to whoever set them.
pub(crate) type Tags = BTreeMap<String, String>;

/// An agent runtime.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Runtime {
    /// `<name>-<10 alphanumerics>`.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    /// The highest version there ever was: no number is used twice.
    pub(crate) last_version: u32,
    pub(crate) tags: Tags,
    /// Shared with what the runtime was before a change, by which the store sees what is new.
    pub(crate) versions: BTreeMap<u32, Arc<Version>>,
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
}

/// One version. It never changes, but for the environment of an agent that was launched here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    pub(crate) settings: Settings,
    pub(crate) definition: AgentDefinition,
    pub(crate) created_at: Timestamp,
}

/// A name for a version.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Endpoint {
    /// `<name>-<10 alphanumerics>`.
    pub(crate) id: String,
    pub(crate) version: u32,
    pub(crate) description: Option<String>,
    pub(crate) tags: Tags,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Runtime {
    /// The name under which an endpoint is served. No runtime's name holds an `@`.
    pub(crate) fn served_as(&self, endpoint: &str) -> Arc<str> {
        if endpoint == DEFAULT_ENDPOINT {
            return self.name.as_str().into();
        }
        format!("{}@{endpoint}", self.name).into()
    }

    /// The newest version and its number.
    pub(crate) fn newest(&self) -> Option<(u32, &Version)> {
        self.versions.last_key_value().map(|(number, version)| (*number, &**version))
    }

    /// Has `DEFAULT` follow the newest version.
    pub(super) fn follow_newest(&mut self, at: Timestamp) {
        let Some((version, _)) = self.newest() else { return };
        let default = self.endpoints.entry(DEFAULT_ENDPOINT.to_owned());
        let default = default.or_insert_with(|| Endpoint::new(DEFAULT_ENDPOINT, version, at));
        if default.version != version {
            default.version = version;
            default.updated_at = at;
        }
    }
}

impl Endpoint {
    pub(super) fn new(name: &str, version: u32, at: Timestamp) -> Self {
        Self {
            id: new_id(name),
            version,
            description: None,
            tags: Tags::new(),
            created_at: at,
            updated_at: at,
        }
    }
}

/// An id for something of that name.
pub(super) fn new_id(name: &str) -> String {
    let suffix: String = std::iter::repeat_with(fastrand::alphanumeric).take(SUFFIX).collect();
    format!("{name}-{suffix}")
}
