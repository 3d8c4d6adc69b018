//! What a version is made of, as the API says it.

use std::collections::BTreeMap;

use agentcore_auth::jwt::JwtConfiguration;
use agentcore_protocol::LifecycleLimits;
use agentcore_protocol::lifecycle::{LifecycleBounds, LifecycleConfiguration};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::RegistryError;
use super::session_settings::SessionSettings;
use crate::agent::may_be_let_through;

/// Most variables of an environment.
const MAX_VARIABLES: usize = 50;
/// Most headers that may be let through to an agent.
const MAX_HEADERS: usize = 20;
/// What AWS offers and this host does not: better refused than left out in silence.
const NOT_OFFERED: [&str; 5] = [
    "filesystemConfigurations",
    "capacityProviderConfiguration",
    "hooksConfiguration",
    "allowedPorts",
    "resourceConfigurations",
];

/// The settings of a version; what AWS has beside these is refused or of no account here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// `None`: the agent was launched here, and not by this API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent_runtime_artifact: Option<Artifact>,
    /// Accepted and not used.
    pub(crate) role_arn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network_configuration: Option<Network>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) protocol_configuration: Option<Protocol>,
    #[serde(default)]
    pub(crate) lifecycle_configuration: LifecycleConfiguration,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) environment_variables: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request_header_configuration: Option<RequestHeaders>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorizer_configuration: Option<Authorizer>,
    /// What AWS has no words for. `None`: whoever asked does not know of it.
    #[serde(default, rename = "x-agentcore", skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionSettings>,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Artifact {
    /// An executable: `file:///...`.
    #[serde(rename_all = "camelCase")]
    ContainerConfiguration { container_uri: String },
    /// Code below the host's code root.
    #[serde(rename_all = "camelCase")]
    CodeConfiguration { code: Code, runtime: String, entry_point: Vec<String> },
}

/// Where code is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Code {
    /// In a bucket; the one here is called `local`.
    S3 { bucket: String, prefix: String },
}

/// How an agent reaches others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Network {
    network_mode: String,
}

/// What an agent speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    server_protocol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

/// Who checks callers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Authorizer {
    /// Their tokens are checked.
    #[serde(rename = "customJWTAuthorizer")]
    CustomJwt(JwtConfiguration),
}

/// Which headers of callers reach the agent beside those that always do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestHeaders {
    pub(crate) request_header_allowlist: Vec<String>,
}

impl Settings {
    /// Those of an agent that was launched here.
    pub(crate) fn local(role: &str) -> Self {
        Self {
            description: None,
            agent_runtime_artifact: None,
            role_arn: role.to_owned(),
            network_configuration: None,
            protocol_configuration: None,
            lifecycle_configuration: LifecycleConfiguration::default(),
            environment_variables: BTreeMap::new(),
            request_header_configuration: None,
            authorizer_configuration: None,
            session: None,
        }
    }

    /// Those that a request asks for.
    pub(crate) fn requested(request: &Value) -> Result<Self, RegistryError> {
        if let Some(name) = NOT_OFFERED.into_iter().find(|name| !request[*name].is_null()) {
            return Err(RegistryError::invalid(name, format!("this host has no {name}: leave it out")));
        }
        let settings = Self::deserialize(request)
            .map_err(|error| RegistryError::invalid("body", format!("the request is incomplete: {error}")))?;
        settings.check()?;
        Ok(settings)
    }

    /// What the tokens of callers have to be, if they bring any.
    pub(crate) fn authorizer(&self) -> Option<&JwtConfiguration> {
        self.authorizer_configuration.as_ref().map(|Authorizer::CustomJwt(configuration)| configuration)
    }

    /// How long sessions may be idle, and live.
    pub(crate) fn lifecycle(&self) -> Result<LifecycleLimits, RegistryError> {
        let resolved = self.lifecycle_configuration.resolve(LifecycleBounds::API);
        resolved.map_err(|error| RegistryError::invalid("lifecycleConfiguration", error.to_string()))
    }

    fn check(&self) -> Result<(), RegistryError> {
        let refuse = |field, message: &str| Err(RegistryError::invalid(field, message));
        if self.agent_runtime_artifact.is_none() {
            return refuse("agentRuntimeArtifact", "name what to run");
        }
        if !self.role_arn.starts_with("arn:aws") || !self.role_arn.contains(":role/") {
            return refuse("roleArn", "a role looks like arn:aws:iam::123456789012:role/name");
        }
        if self.description.as_ref().is_some_and(|text| text.is_empty() || text.len() > 4_096) {
            return refuse("description", "a description has 1 to 4096 characters");
        }
        if self.network_configuration.as_ref().is_some_and(|network| network.network_mode != "PUBLIC") {
            return refuse(
                "networkConfiguration",
                "there are no VPCs here: networkMode is PUBLIC, and the host says what agents reach",
            );
        }
        if let Some(Err(error)) = self.authorizer().map(JwtConfiguration::validate) {
            return refuse("authorizerConfiguration", &error.to_string());
        }
        self.session.as_ref().map_or(Ok(()), SessionSettings::check)?;
        self.lifecycle()?;
        self.check_protocol()?;
        self.check_environment()?;
        self.check_headers()
    }

    fn check_protocol(&self) -> Result<(), RegistryError> {
        let Some(protocol) = &self.protocol_configuration else { return Ok(()) };
        let spoken = ["HTTP", "AGUI"].contains(&&*protocol.server_protocol);
        if !spoken || protocol.port.is_some_and(|port| port != 8080) || protocol.path.is_some() {
            let message = "agents serve HTTP or AGUI at /invocations here, on the port that PORT names";
            return Err(RegistryError::invalid("protocolConfiguration", message));
        }
        Ok(())
    }

    fn check_environment(&self) -> Result<(), RegistryError> {
        let bad = |(name, value): (&String, &String)| {
            name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') || value.len() > 5_000
        };
        if self.environment_variables.len() > MAX_VARIABLES || self.environment_variables.iter().any(bad) {
            let message = format!(
                "there may be {MAX_VARIABLES} variables, whose names hold no =, with values up to 5000 characters"
            );
            return Err(RegistryError::invalid("environmentVariables", message));
        }
        Ok(())
    }

    fn check_headers(&self) -> Result<(), RegistryError> {
        let Some(allowed) = &self.request_header_configuration else { return Ok(()) };
        let names = &allowed.request_header_allowlist;
        let has_authorizer = self.authorizer().is_some();
        if names.len() > MAX_HEADERS || names.iter().any(|name| !may_be_let_through(name, has_authorizer)) {
            let message = format!(
                "there may be {MAX_HEADERS} names of the form [A-Za-z][A-Za-z0-9_-]{{0,255}}, none of them Host, Cookie, \
                 Accept*, Content-*, X-Forwarded-*, Sec-WebSocket-* or x-amz*, and Authorization only with a \
                 customJWTAuthorizer"
            );
            return Err(RegistryError::invalid("requestHeaderConfiguration", message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(change: impl FnOnce(&mut Value)) -> Result<Settings, RegistryError> {
        let mut request = json!({
            "agentRuntimeArtifact": {"containerConfiguration": {"containerUri": "file:///srv/agent"}},
            "roleArn": "arn:aws:iam::123456789012:role/agent",
            "networkConfiguration": {"networkMode": "PUBLIC"},
        });
        change(&mut request);
        Settings::requested(&request)
    }

    fn refused(change: impl FnOnce(&mut Value)) -> &'static str {
        match request(change) {
            Err(RegistryError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_asked_for_is_shown_again() {
        let settings = request(|request| request["environmentVariables"] = json!({"A": "b"})).unwrap();
        let shown = serde_json::to_value(&settings).unwrap();
        assert_eq!(
            shown["agentRuntimeArtifact"],
            json!({"containerConfiguration": {"containerUri": "file:///srv/agent"}})
        );
        assert_eq!(Settings::deserialize(&shown).unwrap(), settings);
    }

    #[test]
    fn what_this_host_cannot_do_is_refused_by_its_name() {
        assert_eq!(refused(|request| request["allowedPorts"] = json!([{"port": 1}])), "allowedPorts");
        assert_eq!(
            refused(|request| {
                let authorizer = json!({"discoveryUrl": "http://id.example/", "allowedClients": ["web"]});
                request["authorizerConfiguration"] = json!({"customJWTAuthorizer": authorizer});
            }),
            "authorizerConfiguration"
        );
        assert_eq!(
            refused(|request| request["networkConfiguration"] = json!({"networkMode": "VPC"})),
            "networkConfiguration"
        );
        assert_eq!(
            refused(|request| request["protocolConfiguration"] = json!({"serverProtocol": "MCP"})),
            "protocolConfiguration"
        );
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        assert_eq!(refused(|request| request["roleArn"] = json!("me")), "roleArn");
        assert_eq!(refused(|request| request["description"] = json!("")), "description");
        assert_eq!(
            refused(|request| request["lifecycleConfiguration"] = json!({"maxLifetime": 5})),
            "lifecycleConfiguration"
        );
        assert_eq!(
            refused(|request| request["environmentVariables"] = json!({"A=B": "c"})),
            "environmentVariables"
        );
        for name in ["Cookie", "Authorization", "Content-Type", "x-amz-date", "a b", "1a", ""] {
            let field = refused(|request| {
                request["requestHeaderConfiguration"] = json!({ "requestHeaderAllowlist": [name] });
            });
            assert_eq!(field, "requestHeaderConfiguration", "{name}");
        }
        assert!(
            request(|request| {
                request["requestHeaderConfiguration"] =
                    json!({ "requestHeaderAllowlist": ["X-Team", "x_tenant"] });
            })
            .is_ok()
        );
    }
}
