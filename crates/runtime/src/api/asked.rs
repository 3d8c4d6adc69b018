//! What a request asks for, in the words of the audit log.

use std::borrow::Cow;

use axum::http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::Api;
use super::query::Parameters;
use crate::registry::DEFAULT_ENDPOINT;

/// Most characters of a path, or of a name in it, that are written down.
const LONGEST: usize = 300;

/// What names no agent, and means none by that.
const NAMELESS: [&str; 5] =
    ["CreateAgentRuntime", "CancelInvocation", "ForgetInvocation", "CancelTask", "ForgetTask"];

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Asked {
    /// The operation; `None`: one that reads, or that there is not.
    pub(super) operation: Option<&'static str>,
    /// What names the agent.
    agent: Option<String>,
    /// The session that the path names.
    pub(super) session: Option<String>,
}

impl Asked {
    /// Reads it out of the method and the path.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let path = path.trim_matches('/');
        // What nearly all requests are for, with nothing to take apart.
        if let "invocations" | "ws" | "ping" = path {
            return Self::about(agents_operation(method, &[path]), None);
        }
        let segments: Vec<&str> = path.split('/').collect();
        match *segments {
            ["runtimes"] => Self::about((method == Method::PUT).then_some("CreateAgentRuntime"), None),
            ["runtimes", agent, ref rest @ ..] => {
                let operation = agents_operation(method, rest).or_else(|| runtimes_operation(method, rest));
                Self::about(operation, Some(agent))
            }
            ["tags", arn] => Self::about(
                match *method {
                    Method::POST => Some("TagResource"),
                    Method::DELETE => Some("UntagResource"),
                    _ => None,
                },
                Some(arn),
            ),
            ["_agentcore", "v1", ref rest @ ..] => Self::own(method, rest),
            _ => Self::default(),
        }
    }

    fn about(operation: Option<&'static str>, agent: Option<&str>) -> Self {
        Self { operation, agent: agent.map(decoded), session: None }
    }

    /// This host's own operations. One that is not known here is on record all the same if it may
    /// change something.
    fn own(method: &Method, path: &[&str]) -> Self {
        let session =
            |operation, id| Self { session: Some(decoded(id)), ..Self::about(Some(operation), None) };
        match (method, path) {
            (&Method::DELETE, ["agents", name]) => Self::about(Some("ForgetAgent"), Some(name)),
            (&Method::PUT, ["code", name, _]) => Self::about(Some("UploadCode"), Some(name)),
            (&Method::POST, ["sessions", id, "stop"]) => session("StopSession", id),
            (&Method::GET, ["sessions", id, "logs"]) => session("ReadLogs", id),
            (&Method::POST, ["invocations", _, "cancel"]) => Self::about(Some("CancelInvocation"), None),
            (&Method::DELETE, ["invocations", _]) => Self::about(Some("ForgetInvocation"), None),
            (&Method::DELETE, ["tasks", _, _]) => Self::about(Some("ForgetTask"), None),
            (&Method::POST, ["tasks", _, _, "cancel"]) => Self::about(Some("CancelTask"), None),
            (&Method::GET | &Method::HEAD, _) => Self::default(),
            _ => Self::about(Some("Request"), None),
        }
    }

    /// The agent and its endpoint: what the name stands for, else the name itself.
    pub(super) fn agent(&self, api: &Api, uri: &Uri) -> (Option<String>, Option<String>) {
        let said = Parameters::of(uri);
        let served = match &self.agent {
            Some(named) => api.registry.find(named, said.qualifier.as_deref()).ok(),
            None if self.operation.is_some_and(|operation| NAMELESS.contains(&operation)) => {
                return (None, None);
            }
            None => api.agent(said.agent.as_deref()).ok().map(|agent| agent.name.clone()),
        };
        match served.as_deref().map(|served| served.split_once('@').unwrap_or((served, DEFAULT_ENDPOINT))) {
            Some((name, endpoint)) => (Some(name.to_owned()), Some(endpoint.to_owned())),
            None => {
                let named = self.agent.as_deref().or(said.agent.as_deref());
                (named.map(cut), said.qualifier.map(Cow::into_owned))
            }
        }
    }
}

/// What reaches an agent.
fn agents_operation(method: &Method, path: &[&str]) -> Option<&'static str> {
    match (method, path) {
        (&Method::POST, ["invocations"]) => Some("InvokeAgentRuntime"),
        (&Method::POST, ["commands"]) => Some("InvokeAgentRuntimeCommand"),
        (&Method::POST, ["stopruntimesession"]) => Some("StopRuntimeSession"),
        (&Method::GET, ["ws"]) => Some("InvokeAgentRuntimeWithWebSocketStream"),
        (&Method::GET, ["ws", "shells"]) => Some("InvokeAgentRuntimeCommandShell"),
        (&Method::GET, ["invocations", ".well-known", "agent-card.json"]) => Some("GetAgentCard"),
        _ => None,
    }
}

/// What changes a runtime.
fn runtimes_operation(method: &Method, path: &[&str]) -> Option<&'static str> {
    match (method, path) {
        (&Method::PUT, []) => Some("UpdateAgentRuntime"),
        (&Method::DELETE, []) => Some("DeleteAgentRuntime"),
        (&Method::PUT, ["runtime-endpoints"]) => Some("CreateAgentRuntimeEndpoint"),
        (&Method::PUT, ["runtime-endpoints", _]) => Some("UpdateAgentRuntimeEndpoint"),
        (&Method::DELETE, ["runtime-endpoints", _]) => Some("DeleteAgentRuntimeEndpoint"),
        _ => None,
    }
}

fn decoded(segment: &str) -> String {
    cut(&percent_decode_str(segment).decode_utf8_lossy())
}

/// The beginning of a text that a stranger may have made long.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_or_changes_something_has_a_name_and_reads_have_none() {
        let named = |method: Method, path: &str| Asked::of(&method, path).operation;
        for (method, path, name) in [
            (Method::POST, "/invocations", "InvokeAgentRuntime"),
            (Method::GET, "/ws", "InvokeAgentRuntimeWithWebSocketStream"),
            (Method::POST, "/runtimes/a/invocations", "InvokeAgentRuntime"),
            (Method::POST, "/runtimes/a/commands", "InvokeAgentRuntimeCommand"),
            (Method::POST, "/runtimes/a/stopruntimesession", "StopRuntimeSession"),
            (Method::PUT, "/runtimes/", "CreateAgentRuntime"),
            (Method::PUT, "/runtimes/a/", "UpdateAgentRuntime"),
            (Method::DELETE, "/runtimes/a", "DeleteAgentRuntime"),
            (Method::PUT, "/runtimes/a/runtime-endpoints/", "CreateAgentRuntimeEndpoint"),
            (Method::DELETE, "/runtimes/a/runtime-endpoints/b", "DeleteAgentRuntimeEndpoint"),
            (Method::POST, "/tags/arn%3Aaws", "TagResource"),
            (Method::POST, "/_agentcore/v1/sessions/s/stop", "StopSession"),
            (Method::GET, "/_agentcore/v1/sessions/s/logs", "ReadLogs"),
            (Method::DELETE, "/_agentcore/v1/tasks/i/7", "ForgetTask"),
            (Method::POST, "/_agentcore/v1/of/tomorrow", "Request"),
        ] {
            assert_eq!(named(method, path), Some(name), "{path}");
        }
        for path in ["/ping", "/runtimes/a/", "/_agentcore/v1/sessions", "/tags/a", "/", "/nowhere/x"] {
            assert_eq!(named(Method::GET, path), None, "{path}");
        }
        assert_eq!(named(Method::POST, "/runtimes/"), None, "a list");
    }

    #[test]
    fn names_are_decoded_and_bounded() {
        assert_eq!(Asked::of(&Method::PUT, "/runtimes/a%2Fb/").agent.unwrap(), "a/b");
        let long = format!("/_agentcore/v1/sessions/{}/stop", "x".repeat(10_000));
        assert_eq!(Asked::of(&Method::POST, &long).session.unwrap().len(), LONGEST);
    }
}
