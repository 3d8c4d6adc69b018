//! `agentcore status`: the agent, its session, and the host.

mod deployed;

use std::process::ExitCode;

use agentcore_protocol::Timestamp;
use serde::Serialize;

use crate::client::model::{HostInfo, Session};
use crate::client::{ClientError, HostClient, escape};
use crate::config::project::Project;
use crate::context::Context;
use crate::output::table::pairs;
use crate::output::time::relative;
use crate::output::{self, FAINT, GOOD, NOTE, STRONG, styled};
use crate::remote::Remote;
use deployed::Deployed;

/// Show the agent, its session, and whether a host runs; or what became of it where it is deployed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the agent [default: the default one]
    #[arg(short, long)]
    agent: Option<String>,
    /// Show the host on this machine, also if the agent is deployed elsewhere
    #[arg(short, long)]
    local: bool,
    /// Print everything there is to know, as JSON
    #[arg(short, long, visible_alias = "json")]
    verbose: bool,
}

#[derive(Debug, Serialize)]
struct Status {
    agent: Option<AgentStatus>,
    endpoint: String,
    host: Option<HostInfo>,
    session: Option<Session>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed: Option<Deployed>,
}

#[derive(Debug, Serialize)]
struct AgentStatus {
    name: String,
    entrypoint: Option<String>,
    session_id: Option<String>,
    agent_arn: Option<String>,
    configuration: String,
}

/// Gathers what there is, and prints it.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let project = context.project_if_any()?;
    let agent = match &project {
        Some(project) => Some(agent_status(project, args.agent.as_deref())?),
        None => None,
    };
    let remote = project.as_ref().filter(|_| !args.local);
    if let (Some(remote), Some(_)) =
        (remote.and_then(|project| Remote::of(project, args.agent.as_deref())), &agent)
    {
        let (endpoint, deployed) = deployed::ask(&remote, context).await?;
        let status = Status { agent, endpoint, host: None, session: None, deployed: Some(deployed) };
        return print(args, &status, context.now());
    }
    let client = context.host();
    let host = match client.get::<HostInfo>("/host", &[]).await {
        Ok(host) => Some(host),
        Err(error) if error.is_not_running() => None,
        // What the project says is worth showing all the same.
        Err(error) => {
            output::note(format_args!("{}: {error}", styled(NOTE, "note")));
            None
        }
    };
    let session = match (&agent, &host) {
        (Some(agent), Some(_)) => session(&client, agent).await?,
        _ => None,
    };
    let endpoint = client.endpoint().as_str().to_owned();
    print(args, &Status { agent, endpoint, host, session, deployed: None }, context.now())
}

fn print(args: &Args, status: &Status, now: Timestamp) -> anyhow::Result<ExitCode> {
    if args.verbose {
        output::json(status)?;
    } else {
        output::line(text(status, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn agent_status(project: &Project, name: Option<&str>) -> anyhow::Result<AgentStatus> {
    let (name, entry) = project.agent(name)?;
    Ok(AgentStatus {
        name,
        entrypoint: entry.entrypoint.clone(),
        session_id: entry.session_id().map(str::to_owned),
        agent_arn: entry.arn().map(str::to_owned),
        configuration: project.path().display().to_string(),
    })
}

async fn session(client: &HostClient, agent: &AgentStatus) -> Result<Option<Session>, ClientError> {
    let Some(id) = &agent.session_id else {
        return Ok(None);
    };
    match client.get(&format!("/sessions/{}", escape(id)), &[("agent", Some(&agent.name))]).await {
        Ok(session) => Ok(Some(session)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn text(status: &Status, now: Timestamp) -> String {
    let mut lines = Vec::new();
    if let Some(agent) = &status.agent {
        lines.push(("Agent", styled(STRONG, &agent.name)));
        lines.push(("Runs", agent.entrypoint.clone().unwrap_or_else(|| "nothing yet".to_owned())));
        lines.push(("Session", session_line(agent, status.session.as_ref(), now)));
    } else {
        lines.push((
            "Agent",
            format!("{}: agentcore configure -e my_agent.py", styled(NOTE, "not configured")),
        ));
    }
    match &status.deployed {
        Some(deployed) => lines.extend(deployed.lines(&status.endpoint)),
        None => lines.push(("Host", host_line(status, now))),
    }
    if let Some(host) = &status.host {
        let counts = &host.sessions;
        let (active, idle) = (counts.active + counts.starting, counts.idle);
        lines.push(("Sessions", format!("{active} at work, {idle} idle")));
        lines.push(("State", host.state.clone()));
    }
    pairs(lines)
}

fn session_line(agent: &AgentStatus, session: Option<&Session>, now: Timestamp) -> String {
    match (&agent.session_id, session) {
        (None, _) => styled(FAINT, "none yet"),
        (Some(id), None) => id.clone(),
        (Some(id), Some(session)) => {
            let ended =
                session.reason.as_ref().map(|reason| format!(" by {}", reason.kind)).unwrap_or_default();
            let since = relative(session.ended_at.unwrap_or(session.started_at), now);
            let what = if session.ended_at.is_some() { "" } else { "started " };
            format!("{id} ({}{ended}, {what}{since})", session.state)
        }
    }
}

fn host_line(status: &Status, now: Timestamp) -> String {
    match &status.host {
        Some(host) => {
            let since = relative(host.started_at, now);
            format!("{} at {} (process {}, started {since})", styled(GOOD, "runs"), status.endpoint, host.pid)
        }
        None => format!("{} at {}: agentcore launch -l", styled(NOTE, "does not run"), status.endpoint),
    }
}
