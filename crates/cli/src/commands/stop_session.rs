//! `agentcore stop-session`: the end of a session, at someone's request.

use std::process::ExitCode;

use agentcore_protocol::headers::SESSION_ID;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::payload;
use crate::client::{ClientError, escape};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::remote::Remote;
use crate::target::{Target, explain_unknown};

/// Stop a session: SIGTERM, some time to finish, then SIGKILL.
///
/// Does not wait for its end. Where the agent is deployed it is AWS's API that is asked, with AWS's
/// credentials. The project forgets the session, so that the next invocation begins
/// a new one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The session [default: that of the last invocation]
    #[arg(short, long, value_name = "ID")]
    session_id: Option<String>,
    /// Name of the agent [default: the default one]
    #[arg(short, long)]
    agent: Option<String>,
    /// Talk to the host on this machine, also if the agent is deployed elsewhere
    #[arg(short, long)]
    local: bool,
    /// Token to show where the agent is deployed, if it takes those (also: -bt)
    #[arg(long, value_name = "TOKEN", env = "BEDROCK_AGENTCORE_BEARER_TOKEN", hide_env_values = true)]
    bearer_token: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Stops the session, and forgets it.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let target = context.target(args.agent.as_deref(), args.session_id.as_deref())?;
    let session = target.session()?;
    let project = context.project_if_any()?.filter(|_| !args.local);
    let remote = project.and_then(|project| Remote::of(&project, args.agent.as_deref()));
    let stopped = match &remote {
        Some(remote) => there(args, remote, session, context).await?,
        None => here(&target, session, context).await,
    };
    match stopped {
        Ok(stopping) => {
            forget(context, &target)?;
            output::note(format_args!("Stopping session {session}"));
            if args.json {
                output::json(&stopping)?;
            }
        }
        // The one that the project remembers has ended by itself: what was wanted is so.
        Err(error) if error.is_not_found() && target.remembered => {
            forget(context, &target)?;
            output::note(format_args!("Session {session} has ended already"));
        }
        Err(error) => return Err(explain(error, remote.as_ref())),
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the host on this machine: it shows what becomes of the session.
async fn here(target: &Target, session: &str, context: &Context) -> Result<Value, ClientError> {
    let path = format!("/sessions/{}/stop", escape(session));
    let client = context.host();
    let body = client.act(Method::POST, &path, &[("agent", target.agent.as_deref())]).await?;
    client.decode(&body)
}

/// Asks by AWS's API, where the agent is deployed.
async fn there(
    args: &Args,
    remote: &Remote,
    session: &str,
    context: &Context,
) -> anyhow::Result<Result<Value, ClientError>> {
    let token = args.bearer_token.as_deref().filter(|token| !token.is_empty());
    let client = remote.agents(context, token.is_some()).await?;
    let url = client.url(&remote.path("stopruntimesession"), &[("qualifier", Some("DEFAULT"))]);
    let mut request = Request::post(url)
        .header(SESSION_ID, session)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from_static(b"{}")))?;
    if let Some(token) = token {
        request.headers_mut().insert(AUTHORIZATION, payload::bearer(token)?);
    }
    let asked = async {
        let response = client.send(request).await?;
        if response.status().is_success() { Ok(()) } else { Err(client.refused(response).await) }
    };
    let stopping = json!({ "session_id": session, "agent": remote.name, "state": "stopping" });
    Ok(asked.await.map(|()| stopping))
}

fn explain(error: ClientError, remote: Option<&Remote>) -> anyhow::Error {
    match remote {
        Some(_) if error.is_not_found() => {
            let hint = "it may have ended, or be somebody else's: `agentcore invoke` begins another";
            Failure::new(error.to_string()).hint(hint).into()
        }
        Some(remote) => remote.explain(error),
        None => explain_unknown(error),
    }
}

fn forget(context: &Context, target: &Target) -> anyhow::Result<()> {
    let (Some(mut project), Some(agent)) = (context.project_if_any()?, target.agent.as_deref()) else {
        return Ok(());
    };
    let Ok((name, entry)) = project.agent(Some(agent)) else {
        return Ok(());
    };
    if entry.session_id() == target.session.as_deref() {
        project.set_session(&name, None)?;
    }
    Ok(())
}
