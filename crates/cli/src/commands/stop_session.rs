//! `agentcore stop-session`: the end of a session, at someone's request.

use std::process::ExitCode;

use http::Method;

use crate::client::escape;
use crate::client::model::Session;
use crate::context::Context;
use crate::output;
use crate::target::{Target, explain_unknown};

/// Stop a session: SIGTERM, some time to finish, then SIGKILL.
///
/// Does not wait for its end. The project forgets the session, so that the next invocation begins
/// a new one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The session [default: that of the last invocation]
    #[arg(short, long, value_name = "ID")]
    session_id: Option<String>,
    /// Name of the agent [default: the default one]
    #[arg(short, long)]
    agent: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Stops the session, and forgets it.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let target = context.target(args.agent.as_deref(), args.session_id.as_deref())?;
    let session = target.session()?;
    let path = format!("/sessions/{}/stop", escape(session));
    let answer = context.host().act(Method::POST, &path, &[("agent", target.agent.as_deref())]).await;
    match answer {
        Ok(body) => {
            forget(context, &target)?;
            output::note(format_args!("Stopping session {session}"));
            if args.json {
                output::json(&serde_json::from_slice::<Session>(&body)?)?;
            }
        }
        // The one that the project remembers has ended by itself: what was wanted is so.
        Err(error) if error.is_not_found() && target.remembered => {
            forget(context, &target)?;
            output::note(format_args!("Session {session} has ended already"));
        }
        Err(error) => return Err(explain_unknown(error)),
    }
    Ok(ExitCode::SUCCESS)
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
