//! What an agent is to the host: a program, and how to run it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use agentcore_auth::jwt::{InvalidJwtConfiguration, JwtConfiguration};
use agentcore_protocol::{LifecycleLimits, headers};
use agentcore_sandbox::{NetworkMode, ResourceLimits};
use serde::{Deserialize, Serialize};

use crate::options::AgentRetention;

/// An agent that the host serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentDefinition {
    /// Its name: a letter, then up to 47 letters, digits and underscores.
    pub name: String,
    /// The program that serves it, an absolute path.
    pub program: PathBuf,
    /// The program's arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// The folder with its code.
    pub code: PathBuf,
    /// Its whole environment, but for what the sandbox declares (HOME, TMPDIR, PORT and the like).
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long its sessions may be idle, and live.
    #[serde(default)]
    pub lifecycle: LifecycleLimits,
    /// Headers of callers that reach it beside those that always do, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<String>,
    /// What the tokens of its callers have to be. `None`: they sign, or are not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorizer: Option<JwtConfiguration>,
    /// Files and folders that its sessions may read, beside its code and what its program needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only: Vec<PathBuf>,
    /// Whether its variables and the files of its code may have nothing shown to it but what is in the code,
    /// or seen by every agent. It is so for agents that come by the API.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confined: bool,
    /// What its sessions reach of the network. `None`: what the host's options say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// How much is kept of what it was asked. `None`: what the host's options say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<AgentRetention>,
    /// What one session may use. Where nothing is said of its disk, what the host's options say; 0 is no
    /// limit.
    #[serde(default, with = "ResourceLimitsForm")]
    pub limits: ResourceLimits,
}

/// Why a definition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAgent {
    /// The name is not one.
    #[error(
        "{0:?} is no agent name: begin with a letter, go on with letters, digits and underscores, 48 at most"
    )]
    Name(String),
    /// The program is not an absolute path.
    #[error("the program of agent {agent} must be an absolute path, not {program}")]
    RelativeProgram {
        /// The agent.
        agent: String,
        /// What was given.
        program: PathBuf,
    },
    /// Its authorizer would let in nobody, or anybody.
    #[error("the authorizer of agent {agent} is refused: {reason}")]
    Authorizer {
        /// The agent.
        agent: String,
        /// The reason.
        reason: InvalidJwtConfiguration,
    },
    /// A header that no agent gets.
    #[error(
        "the header {header:?} is never let through to an agent: take it out of request_headers of {agent}"
    )]
    Header {
        /// The agent.
        agent: String,
        /// The header.
        header: String,
    },
}

impl AgentDefinition {
    /// The agent `name`: `program`, without arguments, on the code in `code`, with the default
    /// limits.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, code: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            code: code.into(),
            env: BTreeMap::new(),
            lifecycle: LifecycleLimits::default(),
            request_headers: Vec::new(),
            authorizer: None,
            read_only: Vec::new(),
            confined: false,
            network: None,
            retention: None,
            limits: ResourceLimits::default(),
        }
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The name is not one, the program is no absolute path, the authorizer is unusable, or a
    /// header is one that no agent gets.
    pub fn validate(&self) -> Result<(), InvalidAgent> {
        if !is_agent_name(&self.name) {
            return Err(InvalidAgent::Name(self.name.clone()));
        }
        if !self.program.is_absolute() {
            return Err(InvalidAgent::RelativeProgram {
                agent: self.name.clone(),
                program: self.program.clone(),
            });
        }
        if let Some(Err(reason)) = self.authorizer.as_ref().map(JwtConfiguration::validate) {
            return Err(InvalidAgent::Authorizer { agent: self.name.clone(), reason });
        }
        if let Some(header) = self.request_headers.iter().find(|header| !self.lets_through(header)) {
            return Err(InvalidAgent::Header { agent: self.name.clone(), header: header.clone() });
        }
        Ok(())
    }

    fn lets_through(&self, header: &str) -> bool {
        may_be_let_through(header, self.authorizer.is_some())
    }
}

/// Whether a text has the form that AWS's API asks of names.
pub(crate) fn is_agent_name(name: &str) -> bool {
    name.len() <= 48
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a header may be let through to an agent. Credentials are not, as nobody has checked them: but
/// for tokens, if the agent has an authorizer, which has.
pub(crate) fn may_be_let_through(name: &str, has_authorizer: bool) -> bool {
    let lower = name.to_ascii_lowercase();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| lower.starts_with(prefix));
    let is_name = lower.len() <= 256
        && lower.starts_with(|first: char| first.is_ascii_lowercase())
        && lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_checked = has_authorizer && lower == headers::AUTHORIZATION;
    is_name
        && (is_checked
            || lower.starts_with(headers::CUSTOM_PREFIX)
            || headers::is_visible_to_agent(&lower)
                && !begins(&["x-amz", "x-forwarded-", "sec-websocket-", "accept", "content-"])
                && !["host", "cookie", "authorization"].contains(&&*lower))
}

/// How [`ResourceLimits`] are written; the sandbox crate itself knows no serialisation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(remote = "ResourceLimits", deny_unknown_fields)]
pub struct ResourceLimitsForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    processes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cpus: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disk_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_awss_api_takes() {
        let named = |name: &str| AgentDefinition::new(name, "/bin/true", "/").validate();
        assert_eq!(named("agents_writer_main"), Ok(()));
        for bad in ["", "1a", "_a", "a-b", "a b", "ä", &"a".repeat(49)] {
            assert_eq!(named(bad), Err(InvalidAgent::Name(bad.to_owned())));
        }
    }

    #[test]
    fn a_relative_program_is_refused() {
        let error = AgentDefinition::new("a", "python3", "/").validate().unwrap_err();
        assert_eq!(error.to_string(), "the program of agent a must be an absolute path, not python3");
    }

    #[test]
    fn no_agent_is_promised_a_callers_credentials() {
        let mut definition = AgentDefinition::new("a", "/bin/true", "/");
        definition.request_headers = vec!["x-team".into()];
        assert_eq!(definition.validate(), Ok(()));
        for header in ["Authorization", "cookie", "host", "x-amz-security-token", "content-length", "a b"] {
            definition.request_headers = vec![header.into()];
            assert!(matches!(definition.validate(), Err(InvalidAgent::Header { .. })), "{header}");
        }
        // A token was checked before it is passed on.
        definition.authorizer = serde_json::from_value(serde_json::json!({
            "discoveryUrl": "https://id.example/.well-known/openid-configuration", "allowedClients": ["web"],
        }))
        .ok();
        definition.request_headers = vec!["authorization".into()];
        assert_eq!(definition.validate(), Ok(()));
        definition.request_headers = vec!["cookie".into()];
        assert!(definition.validate().is_err());
    }
}
