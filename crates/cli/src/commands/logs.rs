//! `agentcore logs`: what an agent wrote to its standard output and standard error.

use std::process::ExitCode;

use anyhow::Context as _;
use http::Method;
use http_body_util::BodyExt;

use crate::client::escape;
use crate::context::Context;
use crate::output;
use crate::target::explain_unknown;

/// Show what a session's agent wrote, also after the session ended.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The session [default: that of the last invocation, else the newest]
    #[arg(short, long, value_name = "ID")]
    session_id: Option<String>,
    /// Name of the agent [default: the default one]
    #[arg(short, long)]
    agent: Option<String>,
    /// Go on showing what is written, until the session ends or Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last N lines [default: all that is kept]
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<u64>,
}

/// Copies the log to standard output.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let client = context.host();
    let target = context.target(args.agent.as_deref(), args.session_id.as_deref())?;
    let agent = target.agent.as_deref();
    let session = target.session_or_newest(&client).await?;
    let tail = args.tail.map(|lines| lines.to_string());
    let follow = args.follow.then_some("true");
    let query = [("agent", agent), ("follow", follow), ("tail", tail.as_deref())];
    let path = format!("/sessions/{}/logs", escape(&session));
    let mut body = client.own(Method::GET, &path, &query).await.map_err(explain_unknown)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the log was cut short")?;
        if let Some(bytes) = frame.data_ref() {
            output::bytes(bytes)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
