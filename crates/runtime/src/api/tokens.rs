//! Agents whose callers bring tokens: which rule a request falls under, and where clients learn who
//! issues the tokens.

use std::borrow::Cow;
use std::sync::Arc;

use agentcore_auth::gate::TokenRule;
use agentcore_auth::jwt::{Fetcher, InvalidJwtConfiguration, JwtAuthorizer, JwtConfiguration};
use agentcore_protocol::agent::{INVOCATIONS_PATH, PING_PATH, WEBSOCKET_PATH};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use dashmap::DashMap;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use super::aws::AwsError;
use super::query::Parameters;
use super::{Api, ApiError};
use crate::registry::DEFAULT_ENDPOINT;
use crate::session::Agent;

/// Path of the protected-resource document of a runtime (RFC 9728).
pub(super) const DOCUMENT: &str = "invocations/.well-known/oauth-protected-resource";
/// What of a runtime's paths reaches its agent.
const REACHING: [&str; 5] =
    ["invocations", "invocations/.well-known/agent-card.json", "commands", "stopruntimesession", "ws"];

/// Where is read what became of work.
const RESULTS: [&str; 2] = ["/_agentcore/v1/invocations", "/_agentcore/v1/tasks"];

/// The authorizers of agents, which keep their issuers' keys.
pub(crate) struct Authorizers {
    fetcher: Fetcher,
    known: DashMap<Arc<str>, Arc<JwtAuthorizer>>,
}

impl Authorizers {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { fetcher: Fetcher::new(), known: DashMap::new() }
    }

    /// The authorizer of an agent: the one that it had, unless its configuration is another now.
    fn of(
        &self,
        agent: &Agent,
        wanted: &JwtConfiguration,
    ) -> Result<Arc<JwtAuthorizer>, InvalidJwtConfiguration> {
        if let Some(known) = self.known.get(&agent.name).filter(|known| known.configuration() == wanted) {
            return Ok(known.clone());
        }
        let made = Arc::new(JwtAuthorizer::new(wanted.clone(), self.fetcher.clone())?);
        self.known.insert(agent.name.clone(), made.clone());
        Ok(made)
    }
}

/// The rule that a request falls under, if the agent that it is about asks for tokens.
pub(super) fn rule(api: &Api, parts: &Parts) -> Result<Option<TokenRule>, ApiError> {
    let Some(agent) = asked_for(api, &parts.uri).or_else(|| results_of(api, parts)) else { return Ok(None) };
    let Some(wanted) = &agent.definition.authorizer else { return Ok(None) };
    let authorizer = api.authorizers.of(&agent, wanted).map_err(|error| {
        tracing::error!(agent.name = %agent.name, error = %error, "an agent's authorizer is unusable");
        ApiError::Forbidden("the agent's authorizer is unusable: the host's log tells why")
    })?;
    let (name, endpoint) = agent.name.split_once('@').unwrap_or((&*agent.name, DEFAULT_ENDPOINT));
    let metadata = format!("{}/{DOCUMENT}?qualifier={endpoint}", url(api, name, &parts.headers));
    Ok(Some(TokenRule { authorizer, agent: name.to_owned(), metadata }))
}

/// Whether a request is for the document itself, which everybody may read.
pub(super) fn is_document(request: &Request) -> bool {
    let path = request.uri().path().strip_prefix("/runtimes/").and_then(|rest| rest.split_once('/'));
    request.method() == Method::GET && path.is_some_and(|(_, operation)| operation == DOCUMENT)
}

/// The agent that a request is to reach. Should this read a path in another way than the router, the
/// request is refused when it arrives at the agent.
fn asked_for(api: &Api, uri: &Uri) -> Option<Arc<Agent>> {
    if [INVOCATIONS_PATH, PING_PATH, WEBSOCKET_PATH].contains(&uri.path()) {
        let said = Parameters::of(uri);
        return api.agent(said.agent.as_deref()).ok();
    }
    let (runtime, operation) = uri.path().strip_prefix("/runtimes/")?.split_once('/')?;
    if !REACHING.contains(&operation) {
        return None;
    }
    let runtime = percent_decode_str(runtime).decode_utf8().ok()?;
    let said = Parameters::of(uri);
    let name = api.registry.find(&runtime, said.qualifier.as_deref()).ok()?;
    api.manager.agent(&name)
}

/// The agent whose results somebody with a token asks for, as the query names it. Who signs is known
/// without.
fn results_of(api: &Api, parts: &Parts) -> Option<Arc<Agent>> {
    let authorization = parts.headers.get(AUTHORIZATION)?.as_bytes();
    let bears_token = authorization.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    let path = parts.uri.path();
    let below =
        |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !bears_token || !RESULTS.into_iter().any(below) {
        return None;
    }
    api.manager.agent(&Parameters::of(&parts.uri).agent?)
}

/// The URL of a runtime, as the caller reaches this host.
fn url(api: &Api, name: &str, headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let plain =
        |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte));
    let host = host.filter(plain).map_or_else(|| Cow::Owned(api.address.to_string()), Cow::Borrowed);
    let catalogue = api.registry.catalogue();
    let arn = catalogue.runtime(name).map(|runtime| catalogue.identity.runtime(&runtime.id));
    let arn = arn.unwrap_or_else(|_| name.to_owned());
    format!("{}://{host}/runtimes/{}", api.scheme, utf8_percent_encode(&arn, NON_ALPHANUMERIC))
}

/// Who issues the tokens that an agent asks for.
pub(super) async fn document(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Value>, AwsError> {
    let said = Parameters::of(&uri);
    let qualifier = said.qualifier.unwrap_or(Cow::Borrowed(DEFAULT_ENDPOINT));
    let none = || AwsError::not_found("there is no agent here whose callers bring tokens");
    let served = api.registry.find(&runtime, Some(&qualifier)).map_err(|_| none())?;
    let agent = api.manager.agent(&served).ok_or_else(none)?;
    let wanted = agent.definition.authorizer.as_ref().ok_or_else(none)?;
    let issuer = wanted.discovery_url.split("/.well-known/").next().unwrap_or_default();
    let name = served.split_once('@').map_or(&*served, |(name, _)| name);
    let url = url(&api, name, &headers);
    Ok(Json(json!({
        "resource": format!("{url}/invocations?qualifier={}", utf8_percent_encode(&qualifier, NON_ALPHANUMERIC)),
        "authorization_servers": [issuer],
        "scopes_supported": wanted.allowed_scopes,
        "bearer_methods_supported": ["header"],
    })))
}
