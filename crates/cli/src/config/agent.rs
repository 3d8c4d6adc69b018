//! One agent of `.bedrock_agentcore.yaml`: what is read of it, and what `configure` sets.

use agentcore_auth::jwt::JwtConfiguration;
use agentcore_protocol::lifecycle::LifecycleConfiguration;
use agentcore_runtime::{AgentRetention, ResourceLimitsForm};
use agentcore_sandbox::{NetworkMode, ResourceLimits};
use serde::Deserialize;
use serde_json::Value as Json;
use yaml_serde::{Mapping, Value};

use super::document::{Document, DocumentError};
use super::entrypoint::EntrypointKind;
use super::name::AgentName;

/// What this program reads of an agent. Everything else in the file is left alone.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(expecting = "a mapping")]
pub(crate) struct AgentEntry {
    /// What to run, relative to the project or absolute; may end in `:object`.
    pub(crate) entrypoint: Option<String>,
    /// The folder with the agent's code, relative to the project or absolute.
    pub(crate) source_path: Option<String>,
    /// What the code is called where it is deployed, such as PYTHON_3_12.
    pub(crate) runtime_type: Option<String>,
    /// Who checks callers, in the API's words.
    pub(crate) authorizer_configuration: Option<Json>,
    /// Which headers reach the agent, in the API's words.
    pub(crate) request_header_configuration: Option<Json>,
    /// What its sessions reach of the network: a key of our own, beside those of AWS's toolkit.
    pub(crate) network: Option<NetworkMode>,
    /// What one of its sessions may use, in the words of the host's options: a key of our own, too.
    #[serde(default, with = "ResourceLimitsForm")]
    pub(crate) limits: ResourceLimits,
    /// How much a host keeps of what it was asked: another key of our own.
    pub(crate) retention: Option<AgentRetention>,
    aws: Option<Aws>,
    bedrock_agentcore: Option<Deployment>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(expecting = "a mapping")]
struct Aws {
    region: Option<String>,
    execution_role: Option<String>,
    protocol_configuration: Option<ProtocolConfiguration>,
    lifecycle_configuration: Option<Lifecycle>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(expecting = "a mapping")]
struct ProtocolConfiguration {
    server_protocol: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(expecting = "a mapping")]
struct Lifecycle {
    idle_runtime_session_timeout: Option<u64>,
    max_lifetime: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(expecting = "a mapping")]
struct Deployment {
    endpoint: Option<String>,
    agent_arn: Option<String>,
    agent_session_id: Option<String>,
}

impl AgentEntry {
    /// The session that the last invocation used.
    pub(crate) fn session_id(&self) -> Option<&str> {
        self.bedrock_agentcore.as_ref()?.agent_session_id.as_deref()
    }

    /// The region, as configured.
    pub(crate) fn region(&self) -> Option<&str> {
        self.aws.as_ref()?.region.as_deref()
    }

    /// The role that it is to have on AWS.
    pub(crate) fn execution_role(&self) -> Option<&str> {
        self.aws.as_ref()?.execution_role.as_deref()
    }

    /// The host that it was deployed to, if that is not AWS.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.bedrock_agentcore.as_ref()?.endpoint.as_deref()
    }

    /// What the tokens of its callers have to be.
    pub(crate) fn authorizer(&self) -> Result<Option<JwtConfiguration>, String> {
        let Some(configured) = &self.authorizer_configuration else { return Ok(None) };
        let jwt = configured.get("customJWTAuthorizer").ok_or("it has no customJWTAuthorizer")?;
        JwtConfiguration::deserialize(jwt).map(Some).map_err(|error| error.to_string())
    }

    /// The headers of callers that reach it beside the usual ones.
    pub(crate) fn request_headers(&self) -> Result<Vec<String>, String> {
        let Some(configured) = &self.request_header_configuration else { return Ok(Vec::new()) };
        let names = configured.get("requestHeaderAllowlist").ok_or("it has no requestHeaderAllowlist")?;
        let names = Vec::<String>::deserialize(names).map_err(|error| error.to_string())?;
        Ok(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// What names it where it was deployed, if it was.
    pub(crate) fn arn(&self) -> Option<&str> {
        self.bedrock_agentcore.as_ref()?.agent_arn.as_deref()
    }

    /// The protocol the agent speaks, in capitals.
    pub(crate) fn protocol(&self) -> String {
        self.said_protocol().unwrap_or("HTTP").to_uppercase()
    }

    /// Whether the file says which protocol that is.
    pub(crate) fn says_protocol(&self) -> bool {
        self.said_protocol().is_some()
    }

    fn said_protocol(&self) -> Option<&str> {
        self.aws.as_ref()?.protocol_configuration.as_ref()?.server_protocol.as_deref()
    }

    /// How long its sessions live, as configured.
    pub(crate) fn lifecycle(&self) -> LifecycleConfiguration {
        let configured = self.aws.as_ref().and_then(|aws| aws.lifecycle_configuration.as_ref());
        LifecycleConfiguration {
            idle_runtime_session_timeout: configured.and_then(|it| it.idle_runtime_session_timeout),
            max_lifetime: configured.and_then(|it| it.max_lifetime),
        }
    }
}

/// What `configure` says of an agent; `None` leaves what the file says.
#[derive(Debug, Clone, Default)]
pub(crate) struct AgentSettings {
    pub(crate) entrypoint: String,
    pub(crate) source_path: String,
    pub(crate) kind: Option<EntrypointKind>,
    pub(crate) lifecycle: LifecycleConfiguration,
    pub(crate) protocol: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) execution_role: Option<String>,
    pub(crate) deployment_type: Option<String>,
    pub(crate) runtime_type: Option<String>,
    pub(crate) disable_otel: bool,
}

impl AgentSettings {
    /// Writes the settings into the document, and makes the agent the default one, as AWS's
    /// toolkit does.
    pub(crate) fn apply(&self, name: &AgentName, document: &mut Document) -> Result<(), DocumentError> {
        if document.value(&["default_agent"]).is_none() {
            document.set(&["default_agent"], Value::Null)?;
        }
        let agent = ["agents", name.as_str()];
        if document.value(&agent).is_none_or(Value::is_null) {
            document.set(&agent, self.new_entry(name))?;
        }
        document.set(&["default_agent"], name.as_str())?;
        let mut set =
            |keys: &[&str], value: Value| document.set(&[&agent[..], keys].concat(), value).map(drop);
        set(&["entrypoint"], self.entrypoint.as_str().into())?;
        set(&["source_path"], self.source_path.as_str().into())?;
        let texts: [(&[&str], &Option<String>); 5] = [
            (&["aws", "region"], &self.region),
            (&["aws", "execution_role"], &self.execution_role),
            (&["aws", "protocol_configuration", "server_protocol"], &self.protocol),
            (&["deployment_type"], &self.deployment_type),
            (&["runtime_type"], &self.runtime_type),
        ];
        for (keys, text) in texts {
            if let Some(text) = text {
                set(keys, text.as_str().into())?;
            }
        }
        let lifecycle = ["aws", "lifecycle_configuration"];
        for (key, seconds) in [
            ("idle_runtime_session_timeout", self.lifecycle.idle_runtime_session_timeout),
            ("max_lifetime", self.lifecycle.max_lifetime),
        ] {
            if let Some(seconds) = seconds {
                set(&[&lifecycle[..], &[key]].concat(), seconds.into())?;
            }
        }
        if self.disable_otel {
            set(&["aws", "observability", "enabled"], false.into())?;
        }
        Ok(())
    }

    /// A fresh entry with the keys that AWS's toolkit looks for, in its order.
    fn new_entry(&self, name: &AgentName) -> Mapping {
        let python = self.kind == Some(EntrypointKind::Python);
        let mut entry = Mapping::new();
        let mut put = |key: &str, value: Value| drop(entry.insert(key.into(), value));
        put("name", name.as_str().into());
        if python {
            put("language", "python".into());
        }
        put("entrypoint", self.entrypoint.as_str().into());
        // AWS runs a program of any other kind from a container image.
        put("deployment_type", if python { "direct_code_deploy" } else { "container" }.into());
        put("runtime_type", Value::Null);
        put("source_path", self.source_path.as_str().into());
        put("aws", aws_section().into());
        put("bedrock_agentcore", nulls(&["agent_id", "agent_arn", "agent_session_id"]).into());
        entry
    }
}

fn aws_section() -> Mapping {
    let mut aws = nulls(&["execution_role", "account", "region"]);
    let mut put = |key: &str, inner: Mapping| drop(aws.insert(key.into(), inner.into()));
    put("network_configuration", one("network_mode", "PUBLIC".into()));
    put("protocol_configuration", one("server_protocol", "HTTP".into()));
    put("observability", one("enabled", true.into()));
    put("lifecycle_configuration", nulls(&["idle_runtime_session_timeout", "max_lifetime"]));
    aws
}

fn nulls(keys: &[&str]) -> Mapping {
    keys.iter().map(|key| ((*key).into(), Value::Null)).collect()
}

fn one(key: &str, value: Value) -> Mapping {
    Mapping::from_iter([(key.into(), value)])
}
