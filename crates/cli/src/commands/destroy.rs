//! `agentcore destroy`: an agent's sessions, records and configuration go.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use nix::fcntl::{Flock, FlockArg};

use crate::client::model::{Session, Sessions};
use crate::client::{ClientError, HostClient, escape};
use crate::config::project::Project;
use crate::config::state;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, GOOD, STRONG, progress::Waiting, styled};
use crate::remote::Remote;

/// How often it is looked whether sessions still end.
const POLL: Duration = Duration::from_millis(200);

/// Remove an agent: stop its sessions, make the host forget it, take it out of the configuration.
///
/// What the host has on record of its invocations and tasks goes with it, once its sessions have ended, which takes
/// as long as the host gives them. Where the agent is deployed, its runtime is deleted by AWS's API, with AWS's
/// credentials. With the project's last agent its state folder goes too, logs included. The agent's code stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the agent [default: the default one]
    #[arg(short, long)]
    agent: Option<String>,
    /// Show what would go, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only what is on this machine: what is deployed elsewhere stays
    #[arg(short, long)]
    local: bool,
    /// Do not ask
    #[arg(long)]
    force: bool,
}

/// What is to go.
struct Plan {
    agent: String,
    /// Where it is deployed, and a client of who looks after it there.
    deployed: Option<(Remote, HostClient)>,
    /// The host, when it runs and knows the agent.
    host: Option<HostClient>,
    running: Vec<Session>,
    /// The project's state folder, when no host uses it and no other agent needs it.
    state: Option<PathBuf>,
}

/// Says what would go, asks, and does it.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let mut project = context.project()?;
    let plan = plan(args, context, &project).await?;
    for line in plan.lines(&project) {
        output::line(line)?;
    }
    if args.dry_run {
        output::note("Nothing was changed (--dry-run)");
        return Ok(ExitCode::SUCCESS);
    }
    if !args.force && !confirmed(&plan.agent)? {
        output::note("Nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    carry_out(&plan, &mut project).await?;
    Ok(ExitCode::SUCCESS)
}

async fn plan(args: &Args, context: &Context, project: &Project) -> anyhow::Result<Plan> {
    let (agent, _) = project.agent(args.agent.as_deref())?;
    let remote = Remote::of(project, Some(&agent)).filter(|_| !args.local);
    // With a deployed one it is not the host on this machine that was named.
    let here = if remote.is_some() { context.host_of(project) } else { Some(context.host()) };
    let deployed = match remote {
        Some(remote) => {
            let client = remote.runtimes(context).await?;
            Some((remote, client))
        }
        None => None,
    };
    let mut plan = Plan { agent, deployed, host: None, running: Vec::new(), state: None };
    let Some(client) = here else { return plan.without_host(project) };
    let query = [("agent", Some(plan.agent.as_str())), ("state", Some("running"))];
    match client.get::<Sessions>("/sessions", &query).await {
        Ok(found) => {
            (plan.host, plan.running) = (Some(client), found.sessions);
            Ok(plan)
        }
        Err(error) if error.is_not_found() => Ok(plan),
        Err(error) if error.is_not_running() => plan.without_host(project),
        Err(error) => Err(error.into()),
    }
}

impl Plan {
    /// The plan where no host runs: what it left goes too.
    fn without_host(mut self, project: &Project) -> anyhow::Result<Self> {
        let state = state::of_project(project.folder());
        if has_living_sessions(&state) {
            let message = "sessions of this project still run, and no host is there to stop them";
            return Err(Failure::new(message)
                .hint("start one with `agentcore launch -l`, then destroy")
                .into());
        }
        let last = project.agent_names().len() == 1 && state.is_dir();
        self.state = last.then_some(state);
        Ok(self)
    }

    fn lines(&self, project: &Project) -> Vec<String> {
        let mut lines = vec![format!("Agent {}", styled(STRONG, &self.agent))];
        lines.extend(
            self.running
                .iter()
                .map(|session| format!("  session {} ({})", session.session_id, session.state)),
        );
        if let Some((remote, client)) = &self.deployed {
            let at = client.endpoint().as_str();
            lines.push(format!("  its runtime {} at {at}, with its sessions", remote.arn));
        }
        if let Some(host) = &self.host {
            lines.push(format!(
                "  its record in the host at {}, with its results and tasks",
                host.endpoint().as_str()
            ));
        }
        lines.push(format!("  its configuration in {}", project.path().display()));
        lines.extend(self.state.as_ref().map(|state| format!("  state and logs in {}", state.display())));
        lines
    }
}

async fn carry_out(plan: &Plan, project: &mut Project) -> anyhow::Result<()> {
    // What may be refused goes first: until then nothing has changed.
    if let Some((remote, client)) = &plan.deployed {
        match client.call(Method::DELETE, &remote.runtime_path(), Vec::new()).await {
            Err(error) if error.is_not_found() => output::note("Its runtime was gone already"),
            Err(error) => return Err(explain(remote, error)),
            Ok(_) => {}
        }
    }
    if let Some(host) = &plan.host {
        match host.act(Method::DELETE, &format!("/agents/{}", escape(&plan.agent)), &[]).await {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
    }
    if let Some(state) = &plan.state {
        fs::remove_dir_all(state)?;
    }
    let default = project.remove(&plan.agent)?;
    if let Some(host) = &plan.host {
        sessions_end(host, &plan.agent).await;
    }
    output::note(format_args!("{} agent {}", styled(GOOD, "Destroyed"), plan.agent));
    if let Some(default) = default {
        output::note(format_args!("{default} is the default agent now"));
    }
    Ok(())
}

/// Waits until nothing of the agent runs any more. What its sessions are given to end is theirs, and a host that
/// leaves meanwhile looks after them no less.
async fn sessions_end(host: &HostClient, agent: &str) {
    let query = [("agent", Some(agent)), ("state", Some("running"))];
    let mut waiting = None;
    loop {
        match host.get::<Sessions>("/sessions", &query).await {
            Ok(found) if found.sessions.is_empty() => return,
            Ok(found) => {
                let message = format!("waiting for {} to end", count(found.sessions.len()));
                waiting.get_or_insert_with(|| Waiting::for_what(message.clone())).tell(message);
            }
            Err(error) => {
                let note = "note: whether its sessions have ended is not known";
                return output::note(format_args!("{note}: {error}"));
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn count(sessions: usize) -> String {
    if sessions == 1 { "1 session".to_owned() } else { format!("{sessions} sessions") }
}

fn explain(remote: &Remote, error: ClientError) -> anyhow::Error {
    let explained = remote.explain(error);
    output::note("Nothing was changed; with --local what is deployed stays, and the rest goes");
    explained
}

/// Whether something below a state folder is still at work: the init of every living incarnation
/// holds a lock in its folder.
fn has_living_sessions(state: &Path) -> bool {
    let folders = fs::read_dir(state.join("i")).into_iter().flatten().filter_map(Result::ok);
    folders.into_iter().any(|folder| {
        let Ok(lock) = fs::File::open(folder.path().join("lock")) else {
            return false;
        };
        Flock::lock(lock, FlockArg::LockExclusiveNonblock).is_err()
    })
}

fn confirmed(agent: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("destroying needs a yes")
            .hint("add --force where nobody can be asked")
            .into());
    }
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "Destroy agent {agent}? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_a_living_session() {
        let state = tempfile::tempdir().unwrap();
        assert!(!has_living_sessions(state.path()));
        let folder = state.path().join("i/0123456789abcdef");
        fs::create_dir_all(&folder).unwrap();
        assert!(!has_living_sessions(state.path()));
        let lock = fs::File::create(folder.join("lock")).unwrap();
        assert!(!has_living_sessions(state.path()));
        let held = Flock::lock(lock, FlockArg::LockExclusiveNonblock).unwrap();
        assert!(has_living_sessions(state.path()));
        drop(held);
        assert!(!has_living_sessions(state.path()));
    }
}
