//! `agentcore invoke`: one request to an agent.

mod call;

use std::process::ExitCode;

use agentcore_protocol::{SessionId, headers};
use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;

use self::call::Call;
use super::{answer, payload};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, progress::Waiting};

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
    let mut call = Call::of(args, context).await?;
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
        answer::print(response, call.logs_hint()).await?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(answer::refusal(response, call.unknown_hint(), call.logs_hint()).await.into())
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
