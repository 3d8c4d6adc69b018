//! What AWS's API says of an agent where it is deployed.

use http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::context::Context;
use crate::failure;
use crate::output::{GOOD, NOTE, STRONG, styled};
use crate::remote::Remote;

/// A deployed agent, and what is known of it.
#[derive(Debug, Serialize)]
pub(super) struct Deployed {
    arn: String,
    /// The answer of GetAgentRuntime.
    runtime: Option<Value>,
    /// Why there is none.
    error: Option<String>,
}

/// Asks for the runtime; where, and what was said. Who gets no answer is told why, beside all else.
pub(super) async fn ask(remote: &Remote, context: &Context) -> anyhow::Result<(String, Deployed)> {
    let endpoint = remote.runtimes_endpoint(context)?;
    let (runtime, error) = match runtime(remote, context).await {
        Ok(runtime) => (Some(runtime), None),
        Err(error) => (None, Some(error)),
    };
    let error = error.map(|error| match failure::hint_for(&error) {
        Some(hint) => format!("{error:#}; {hint}"),
        None => format!("{error:#}"),
    });
    Ok((endpoint.as_str().to_owned(), Deployed { arn: remote.arn.clone(), runtime, error }))
}

async fn runtime(remote: &Remote, context: &Context) -> anyhow::Result<Value> {
    let asked = remote.runtimes(context).await?.call(Method::GET, &remote.runtime_path(), Vec::new()).await;
    asked.map_err(|error| remote.explain(error))
}

impl Deployed {
    pub(super) fn lines(&self, endpoint: &str) -> Vec<(&'static str, String)> {
        let mut lines = vec![("Deployed", format!("{} at {endpoint}", self.arn))];
        if let Some(runtime) = &self.runtime {
            let text = |field: &str| runtime[field].as_str().unwrap_or_default();
            let style = if text("status") == "READY" { GOOD } else { NOTE };
            let version = styled(STRONG, text("agentRuntimeVersion"));
            let since = text("lastUpdatedAt");
            lines.push(("Version", format!("{version}, {} since {since}", styled(style, text("status")))));
        }
        lines.extend(
            self.error.as_ref().map(|error| ("Version", format!("{} {error}", styled(NOTE, "unknown:")))),
        );
        lines
    }
}
