//! `agentcore invoke`: one request to an agent.

use std::process::ExitCode;

use agentcore_protocol::agent::INVOCATIONS_PATH;
use agentcore_protocol::{SessionId, headers};
use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use uuid::Uuid;

use super::{answer, payload};
use crate::client::model::Agents;
use crate::client::{ClientError, Endpoint, HostClient};
use crate::config::project::Project;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, progress::Waiting};
use crate::remote::Remote;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Send a request to an agent, and print its answer.
///
/// The answer alone goes to standard output; a stream is printed item by item as it comes. The
/// session is remembered in `.bedrock_agentcore.yaml` and used again by the next call.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to send: JSON, or a text that is sent as {"prompt": text}; `-` reads standard input
    payload: String,
    /// Talk to the host on this machine, also if the agent is deployed elsewhere
    #[arg(short, long)]
    local: bool,
    /// Name of the agent [default: the default one]
    #[arg(short, long)]
    agent: Option<String>,
    /// Session to talk to, 33 to 256 characters [default: that of the last call,
    /// else the agent's default session]
    #[arg(short, long, value_name = "ID")]
    session_id: Option<SessionId>,
    /// Do not wait: print the id of the invocation, which `agentcore results` takes
    #[arg(long, conflicts_with = "dev")]
    r#async: bool,
    /// Begin a new session
    #[arg(long, conflicts_with = "session_id")]
    new_session: bool,
    /// Token that the agent gets as `Authorization: Bearer` (also: -bt)
    #[arg(long, value_name = "TOKEN", env = "BEDROCK_AGENTCORE_BEARER_TOKEN", hide_env_values = true)]
    bearer_token: Option<String>,
    /// For whom the agent works
    #[arg(short, long, value_name = "ID")]
    user_id: Option<String>,
    /// Headers for the agent, as 'Name:value,Name2:value2'; their names get the prefix
    /// X-Amzn-Bedrock-AgentCore-Runtime-Custom-
    #[arg(long, value_name = "HEADERS")]
    headers: Option<String>,
    /// Talk to an agent that serves by itself, without a host
    #[arg(short, long)]
    dev: bool,
    /// Port of that agent
    #[arg(long, default_value_t = agentcore_protocol::agent::DEFAULT_PORT, requires = "dev")]
    port: u16,
}

/// Sends the request and prints the answer.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let body = payload::read(&args.payload)?;
    let mut headers = caller_headers(args)?;
    let mut call = match deployed(args, context)? {
        _ if args.dev => dev_call(args, context),
        Some((project, remote)) => deployed_call(args, context, project, remote)?,
        None => hosted_call(args, context).await?,
    };
    if let Some(session) = &call.session {
        headers.insert(headers::SESSION_ID, HeaderValue::from_str(session.as_str())?);
    }
    let mut request = Request::post(&call.url).body(Full::new(Bytes::from(body)))?;
    *request.headers_mut() = headers;

    if args.r#async {
        request.headers_mut().insert(PREFER, HeaderValue::from_static("respond-async"));
    }
    let waiting = Waiting::for_what("waiting for the agent's answer");
    let response = call.client.send(request).await.map_err(|error| call.explain(error))?;
    drop(waiting);
    call.tell_session(response.headers(), args.session_id.is_some());
    if args.r#async && response.status().is_success() {
        return accepted(&response);
    }
    if response.status().is_success() {
        answer::print(response).await?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(answer::refusal(response, call.unknown_hint()).await.into())
}

/// Prints the id of an invocation that the host has taken over.
fn accepted<B>(response: &Response<B>) -> anyhow::Result<ExitCode> {
    let id = response.headers().get(headers::INVOCATION_ID).and_then(|value| value.to_str().ok());
    let Some(id) = id.filter(|_| response.status() == StatusCode::ACCEPTED) else {
        let failure = Failure::new("the host answered at once: it does not keep invocations");
        return Err(failure.hint("update the host, or call without --async").into());
    };
    output::line(id)?;
    output::note(format_args!("Its answer: agentcore results {id} --wait"));
    Ok(ExitCode::SUCCESS)
}

/// Whom to call, and in which session.
struct Call {
    client: HostClient,
    url: String,
    /// The project that remembers the session.
    project: Option<Project>,
    agent: Option<String>,
    /// The agent is deployed.
    remote: Option<Remote>,
    /// The session. Without one, whoever answers says which it took.
    session: Option<SessionId>,
    /// The session was remembered from an earlier call.
    continues: bool,
}

async fn hosted_call(args: &Args, context: &Context) -> anyhow::Result<Call> {
    let client = context.host();
    let Some(project) = context.project_if_any()? else {
        let (agent, session) = (args.agent.clone(), args.session_id.clone().or_else(|| fresh(args)));
        let url = client.url(INVOCATIONS_PATH, &[("agent", agent.as_deref())]);
        return Ok(Call { client, url, project: None, agent, remote: None, session, continues: false });
    };
    let (agent, entry) = project.agent(args.agent.as_deref())?;
    let remembered = entry.session_id().and_then(|id| id.parse::<SessionId>().ok());
    let session = args.session_id.clone().or_else(|| fresh(args)).or_else(|| remembered.clone());
    let session = match session {
        None => default_session(&client, &agent).await,
        named => named,
    };
    let continues = session.is_some() && session == remembered;
    let url = client.url(INVOCATIONS_PATH, &[("agent", Some(&agent))]);
    let mut call =
        Call { client, url, project: Some(project), agent: Some(agent), remote: None, session, continues };
    // Before the call, so that one that is cut short can be asked about.
    call.remember();
    Ok(call)
}

/// The agent, if it is deployed and nothing says that the one on this machine is meant.
fn deployed(args: &Args, context: &Context) -> anyhow::Result<Option<(Project, Remote)>> {
    let project = context.project_if_any()?.filter(|_| !args.local && !args.dev);
    Ok(project
        .and_then(|project| Remote::of(&project, args.agent.as_deref()).map(|remote| (project, remote))))
}

/// A call of AWS's API.
fn deployed_call(args: &Args, context: &Context, project: Project, remote: Remote) -> anyhow::Result<Call> {
    let has_token = args.bearer_token.as_deref().is_some_and(|token| !token.is_empty());
    let client = remote.agents(context, has_token)?;
    let url = client.url(&remote.path("invocations"), &[("qualifier", Some("DEFAULT"))]);
    let (agent, entry) = project.agent(Some(&remote.name))?;
    let remembered = entry.session_id().and_then(|id| id.parse().ok());
    let named = args.session_id.clone().or_else(|| fresh(args));
    let session = named.or_else(|| remembered.clone()).unwrap_or_else(|| Uuid::new_v4().into());
    let continues = remembered.as_ref() == Some(&session);
    let (project, agent, session) = (Some(project), Some(agent), Some(session));
    let mut call = Call { client, url, project, agent, remote: Some(remote), session, continues };
    call.remember();
    Ok(call)
}

/// The agent's default session, which is the one that `curl` talks to as well. `None`: there is no
/// host, or one that does not tell; what is wrong, the call itself will say.
async fn default_session(client: &HostClient, agent: &str) -> Option<SessionId> {
    let Agents { agents } = client.get("/agents", &[]).await.ok()?;
    agents.into_iter().find(|listed| listed.name == agent)?.default_session
}

fn dev_call(args: &Args, context: &Context) -> Call {
    let session = args.session_id.clone().unwrap_or_else(|| Uuid::new_v4().into());
    let client = context.client(Endpoint::local(args.port));
    let url = client.url(INVOCATIONS_PATH, &[]);
    Call { client, url, project: None, agent: None, remote: None, session: Some(session), continues: false }
}

fn fresh(args: &Args) -> Option<SessionId> {
    args.new_session.then(|| Uuid::new_v4().into())
}

impl Call {
    fn explain(&self, error: ClientError) -> anyhow::Error {
        match &self.remote {
            Some(remote) => remote.explain(error),
            None => error.into(),
        }
    }

    /// What to do where the host does not know the agent.
    fn unknown_hint(&self) -> Option<String> {
        let agent = self.agent.as_ref()?;
        Some(match &self.remote {
            Some(_) => format!("deploy {agent} again: `agentcore deploy --endpoint URL`"),
            None => format!("does the host know {agent}? `agentcore launch -l` serves the project's agents"),
        })
    }

    fn remember(&mut self) {
        let (Some(project), Some(agent), Some(session)) = (&mut self.project, &self.agent, &self.session)
        else {
            return;
        };
        if let Err(error) = project.set_session(agent, Some(session)) {
            output::note(format_args!("note: the session will not be remembered: {error}"));
        }
    }

    /// Says which session answered, and whether it is one that had ended before.
    fn tell_session(&mut self, answer: &HeaderMap, is_named: bool) {
        let named = answer.get(headers::SESSION_ID).and_then(|value| value.to_str().ok()?.parse().ok());
        if let (None, Some(named)) = (&self.session, named) {
            self.session = Some(named);
            self.remember();
        }
        let Some(session) = &self.session else { return };
        output::note(format_args!("Session: {session}"));
        let is_new = answer.get(headers::SESSION_NEW).is_some_and(|value| value == "true");
        if is_new && self.continues {
            output::note("note: this session began anew with this call; what it knew before is gone");
            output::note(format_args!("      (why: agentcore sessions show {session})"));
        } else if is_new && is_named {
            output::note(
                "note: this session began with this call; it knows nothing of an earlier one of that name",
            );
        }
    }
}

fn caller_headers(args: &Args) -> anyhow::Result<HeaderMap> {
    let mut map = HeaderMap::new();
    map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
    if let Some(token) = args.bearer_token.as_deref().filter(|token| !token.is_empty()) {
        map.insert(header::AUTHORIZATION, payload::bearer(token)?);
    }
    if let Some(user) = &args.user_id {
        map.insert(headers::USER_ID, HeaderValue::from_str(user).context("the user id cannot be sent")?);
    }
    map.extend(payload::headers(args.headers.as_deref().unwrap_or_default())?);
    Ok(map)
}
