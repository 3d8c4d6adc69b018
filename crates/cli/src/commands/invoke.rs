//! `agentcore invoke`: one request to an agent.

use std::process::ExitCode;

use agentcore_protocol::agent::INVOCATIONS_PATH;
use agentcore_protocol::{SessionId, headers};
use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::payload;
use crate::client::model::ErrorBody;
use crate::client::sse::EventReader;
use crate::client::{Endpoint, HostClient, is_event_stream};
use crate::config::project::Project;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, progress::Waiting};

/// Send a request to an agent, and print its answer.
///
/// The answer alone goes to standard output; a stream is printed item by item as it comes. The
/// session is remembered in `.bedrock_agentcore.yaml` and used again by the next call.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to send: JSON, or a text that is sent as {"prompt": text}; `-` reads standard input
    payload: String,
    /// Talk to the host on this machine. So far there is no other
    #[arg(short, long)]
    local: bool,
    /// Name of the agent [default: the default one]
    #[arg(short, long)]
    agent: Option<String>,
    /// Session to talk to, 33 to 256 characters [default: that of the last call, else a new one]
    #[arg(short, long, value_name = "ID")]
    session_id: Option<SessionId>,
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
    let call = if args.dev { dev_call(args) } else { hosted_call(args, context)? };
    if let Some(session) = &call.session {
        headers.insert(headers::SESSION_ID, HeaderValue::from_str(session.as_str())?);
    }
    let url = call.client.url(INVOCATIONS_PATH, &[("agent", call.agent.as_deref())]);
    let mut request = Request::post(url).body(Full::new(Bytes::from(body)))?;
    *request.headers_mut() = headers;

    let waiting = Waiting::for_what("waiting for the agent's answer");
    let response = call.client.send(request).await?;
    drop(waiting);
    tell_session(&call, response.headers());
    if response.status().is_success() { print(response).await } else { Err(refusal(response, &call).await) }
}

/// Whom to call, and in which session.
struct Call {
    client: HostClient,
    agent: Option<String>,
    session: Option<SessionId>,
    /// The session is one that an earlier call began.
    continued: bool,
}

fn hosted_call(args: &Args, context: &Context) -> anyhow::Result<Call> {
    let client = context.host();
    let Some(mut project) = context.project_if_any()? else {
        let (agent, session) = (args.agent.clone(), args.session_id.clone());
        return Ok(Call { client, agent, session, continued: args.session_id.is_some() });
    };
    let (agent, entry) = project.agent(args.agent.as_deref())?;
    let remembered =
        entry.session_id().filter(|_| !args.new_session).and_then(|id| id.parse::<SessionId>().ok());
    let known = args.session_id.clone().or(remembered);
    let continued = known.is_some();
    let session = known.unwrap_or_else(|| uuid::Uuid::new_v4().into());
    remember(&mut project, &agent, &session);
    Ok(Call { client, agent: Some(agent), session: Some(session), continued })
}

/// Kept before the call, so that a call that is cut short can be asked about.
fn remember(project: &mut Project, agent: &str, session: &SessionId) {
    if let Err(error) = project.set_session(agent, Some(session)) {
        output::note(format_args!("note: the session will not be remembered: {error}"));
    }
}

fn dev_call(args: &Args) -> Call {
    let session = args.session_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().into());
    let client = HostClient::new(Endpoint::local(args.port));
    Call { client, agent: None, session: Some(session), continued: args.session_id.is_some() }
}

fn caller_headers(args: &Args) -> anyhow::Result<HeaderMap> {
    let mut map = HeaderMap::new();
    map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
    if let Some(token) = args.bearer_token.as_deref().filter(|token| !token.is_empty()) {
        let mut value =
            HeaderValue::from_str(&format!("Bearer {token}")).context("the bearer token is no token")?;
        value.set_sensitive(true);
        map.insert(header::AUTHORIZATION, value);
    }
    if let Some(user) = &args.user_id {
        map.insert(headers::USER_ID, HeaderValue::from_str(user).context("the user id cannot be sent")?);
    }
    map.extend(payload::headers(args.headers.as_deref().unwrap_or_default())?);
    Ok(map)
}

fn tell_session(call: &Call, answer: &HeaderMap) {
    let named = answer.get(headers::SESSION_ID).and_then(|value| value.to_str().ok());
    let Some(session) = named.or(call.session.as_ref().map(SessionId::as_str)) else {
        return;
    };
    output::note(format_args!("Session: {session}"));
    let is_new = answer.get(headers::SESSION_NEW).is_some_and(|value| value == "true");
    if is_new && call.continued {
        output::note("note: this session began anew with this call; what it knew before is gone");
        output::note(format_args!("      (why: agentcore sessions show {session})"));
    }
}

/// Prints an answer as it comes. A stream that the agent broke off with an error fails.
async fn print(response: Response<Incoming>) -> anyhow::Result<ExitCode> {
    let is_stream = is_event_stream(&response);
    let mut body = response.into_body();
    let mut events = EventReader::default();
    let mut last = None;
    let mut ends_line = true;
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the answer was cut short")?;
        let Some(bytes) = frame.data_ref() else { continue };
        if is_stream {
            for event in events.feed(bytes) {
                output::bytes(format!("{event}\n").as_bytes())?;
                last = Some(event);
            }
        } else {
            output::bytes(bytes)?;
            ends_line = bytes.last().map_or(ends_line, |byte| *byte == b'\n');
        }
    }
    if let Some(event) = events.finish() {
        output::bytes(format!("{event}\n").as_bytes())?;
        last = Some(event);
    }
    if !ends_line {
        output::line("")?;
    }
    match last.as_deref().and_then(stream_error) {
        Some(error) => {
            Err(Failure::new(format!("the agent failed in mid-stream: {error}")).hint(LOGS_HINT).into())
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

const LOGS_HINT: &str = "`agentcore logs` shows what the agent wrote";

/// The error that ends a stream which failed (contract, section 1).
fn stream_error(event: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(event).ok()?;
    let is_error =
        value["error_type"].is_string() && value["message"] == "An error occurred during streaming";
    is_error.then(|| value["error"].as_str().map(str::to_owned)).flatten()
}

/// An answer that is no success: its message, and what to do.
async fn refusal(response: Response<Incoming>, call: &Call) -> anyhow::Error {
    let status = response.status();
    let by_the_host = response.headers().get(headers::INVOCATION_ID).is_none();
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    let message = match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { error, details: Some(details) }) => format!("{error}\n{details}"),
        Ok(ErrorBody { error, details: None }) => error,
        Err(_) if text.is_empty() => "(empty answer)".to_owned(),
        Err(_) => text,
    };
    let failure = Failure::new(format!("{} ({})", message, status));
    match (status.as_u16(), &call.agent) {
        (404, Some(agent)) if by_the_host => failure
            .hint(format!("does the host know {agent}? `agentcore launch -l` serves the project's agents"))
            .into(),
        (400 | 413 | 429, _) => failure.into(),
        _ => failure.hint(LOGS_HINT).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_word_of_a_broken_stream_is_an_error() {
        let broken =
            r#"{"error":"boom","error_type":"ValueError","message":"An error occurred during streaming"}"#;
        assert_eq!(stream_error(broken).as_deref(), Some("boom"));
        assert_eq!(stream_error(r#"{"error":"boom"}"#), None);
        assert_eq!(stream_error("\"text\""), None);
        assert_eq!(stream_error("no json"), None);
    }
}
