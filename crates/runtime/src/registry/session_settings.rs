//! What AWS's API has no words for: a member of its requests that its clients neither send nor read.

use agentcore_sandbox::{NetworkMode, ResourceLimits};
use serde::{Deserialize, Serialize};

use super::RegistryError;
use crate::agent::{AgentDefinition, ResourceLimitsForm};

/// Most that may be asked to be kept of a session's log.
const MOST_LOG: u64 = 1 << 30;

/// What the sessions of an agent reach of the network, and may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSettings {
    /// `None`: what the host's options say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// What one session may use.
    #[serde(default, with = "ResourceLimitsForm")]
    pub limits: ResourceLimits,
}

/// What the operator lets those have who create runtimes by the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Whether this machine's own network.
    pub(crate) host_network: bool,
    /// Bytes of disk for each session; 0 is no limit.
    pub(crate) disk_bytes: u64,
}

impl SessionSettings {
    /// Name of the member in requests.
    pub const MEMBER: &str = "x-agentcore";

    /// Refuses what no host takes.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        let ResourceLimits { memory_bytes, processes, cpus, log_bytes, disk_bytes } = self.limits;
        let nothing = [memory_bytes, processes, disk_bytes].contains(&Some(0));
        if nothing || cpus.is_some_and(|cpus| !cpus.is_finite() || cpus <= 0.0) {
            return Err(RegistryError::invalid(
                Self::MEMBER,
                "limits are above 0; leave out those that are not meant",
            ));
        }
        if log_bytes.is_some_and(|bytes| bytes > MOST_LOG) {
            return Err(RegistryError::invalid(Self::MEMBER, format!("log_bytes is at most {MOST_LOG}")));
        }
        Ok(())
    }
}

impl Allowance {
    /// Refuses what goes beyond it.
    pub(crate) fn check(self, wanted: &SessionSettings) -> Result<(), RegistryError> {
        let invalid = |message: String| Err(RegistryError::invalid(SessionSettings::MEMBER, message));
        if wanted.network == Some(NetworkMode::Host) && !self.host_network {
            let message = "this host lets nobody onto its own network by the API, unless it is started with --network host";
            return invalid(message.to_owned());
        }
        match wanted.limits.disk_bytes {
            Some(bytes) if self.disk_bytes > 0 && bytes > self.disk_bytes => {
                invalid(format!("disk_bytes is at most {} here", self.disk_bytes))
            }
            _ => Ok(()),
        }
    }

    /// Confines an agent that came by the API, whatever an earlier host allowed.
    pub(super) fn confine(self, definition: &mut AgentDefinition) {
        definition.confined = true;
        if definition.network == Some(NetworkMode::Host) && !self.host_network {
            definition.network = None;
        }
        if self.disk_bytes > 0 {
            let disk_bytes = &mut definition.limits.disk_bytes;
            *disk_bytes = disk_bytes.map(|bytes| bytes.clamp(1, self.disk_bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(json: serde_json::Value) -> SessionSettings {
        serde_json::from_value(json).unwrap()
    }

    const STRICT: Allowance = Allowance { host_network: false, disk_bytes: 100 };
    const FREE: Allowance = Allowance { host_network: true, disk_bytes: 0 };

    #[test]
    fn nobody_is_let_onto_the_machines_network_or_disk_beyond_what_the_operator_says() {
        for wanted in [json!({"network": "host"}), json!({"limits": {"disk_bytes": 101}})] {
            assert!(STRICT.check(&settings(wanted.clone())).is_err(), "{wanted}");
            assert!(FREE.check(&settings(wanted)).is_ok());
        }
        assert!(STRICT.check(&settings(json!({"network": "none", "limits": {"disk_bytes": 100}}))).is_ok());
    }

    #[test]
    fn what_an_earlier_host_allowed_is_not_kept() {
        let mut definition = AgentDefinition::new("a", "/bin/true", "/");
        definition.network = Some(NetworkMode::Host);
        definition.limits.disk_bytes = Some(0);
        let earlier = definition.clone();
        STRICT.confine(&mut definition);
        assert_eq!((definition.network, definition.limits.disk_bytes), (None, Some(1)));
        definition = earlier;
        FREE.confine(&mut definition);
        assert_eq!((definition.network, definition.limits.disk_bytes), (Some(NetworkMode::Host), Some(0)));
        assert!(definition.confined);
    }

    #[test]
    fn limits_of_nothing_are_refused() {
        for wrong in [json!({"disk_bytes": 0}), json!({"cpus": 0.0}), json!({"log_bytes": 1_u64 << 40})] {
            assert!(settings(json!({"limits": wrong})).check().is_err());
        }
        assert!(settings(json!({"limits": {"cpus": 0.5, "memory_bytes": 1}})).check().is_ok());
    }
}
