//! Whom `agentcore invoke` calls: an agent of a host, one that is deployed, or one that serves by itself.

use agentcore_protocol::agent::INVOCATIONS_PATH;
use agentcore_protocol::{SessionId, headers};
use http::HeaderMap;
use uuid::Uuid;

use super::Args;
use crate::client::model::{Agents, HostInfo};
use crate::client::{ClientError, Endpoint, HostClient};
use crate::commands::answer;
use crate::config::project::Project;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::remote::Remote;

/// Whom to call, and in which session.
pub(super) struct Call {
    pub(super) client: HostClient,
    pub(super) url: String,
    /// The project that remembers the session.
    project: Option<Project>,
    agent: Option<String>,
    place: Place,
    /// The session. Without one, whoever answers says which it took.
    pub(super) session: Option<SessionId>,
    /// The session was remembered from an earlier call.
    continues: bool,
}

/// Where the agent is.
enum Place {
    /// In a session of a host.
    Host,
    /// Deployed, on a host or on AWS.
    Deployed(Remote),
    /// In a process of its own, which somebody started by hand.
    ByItself,
}

async fn hosted_call(args: &Args, context: &Context) -> anyhow::Result<Call> {
    let client = context.host();
    let Some(project) = context.project_if_any()? else {
        let (agent, session) = (args.agent.clone(), args.session_id.clone().or_else(|| fresh(args)));
        let url = client.url(INVOCATIONS_PATH, &[("agent", agent.as_deref())]);
        return Ok(Call { client, url, project: None, agent, place: Place::Host, session, continues: false });
    };
    let (agent, entry) = project.agent(args.agent.as_deref())?;
    if context.knows_no_host() {
        tell_of_strangers(&client, &project).await;
    }
    let remembered = entry.session_id().and_then(|id| id.parse::<SessionId>().ok());
    let session = args.session_id.clone().or_else(|| fresh(args)).or_else(|| remembered.clone());
    let session = match session {
        None => default_session(&client, &agent).await,
        named => named,
    };
    let continues = session.is_some() && session == remembered;
    let url = client.url(INVOCATIONS_PATH, &[("agent", Some(&agent))]);
    let (project, agent, place) = (Some(project), Some(agent), Place::Host);
    let mut call = Call { client, url, project, agent, place, session, continues };
    // Before the call, so that one that is cut short can be asked about.
    call.remember();
    Ok(call)
}

/// Where no host is known of, whoever has the usual port is asked. It may be another project's host, with an
/// agent of the same name.
async fn tell_of_strangers(client: &HostClient, project: &Project) {
    if let Ok(host) = client.get::<HostInfo>("/host", &[]).await {
        let (here, there) = (project.folder().display(), host.state);
        output::note(format_args!(
            "note: no host runs for {here}; the one at {} does, whose state is in {there}",
            client.endpoint().as_str()
        ));
    }
}

/// The agent, if it is deployed and nothing says that the one on this machine is meant.
fn deployed(args: &Args, context: &Context) -> anyhow::Result<Option<(Project, Remote)>> {
    let project = context.project_if_any()?.filter(|_| !args.local && !args.dev);
    Ok(project
        .and_then(|project| Remote::of(&project, args.agent.as_deref()).map(|remote| (project, remote))))
}

/// A call of AWS's API.
async fn deployed_call(
    args: &Args,
    context: &Context,
    project: Project,
    remote: Remote,
) -> anyhow::Result<Call> {
    let has_token = args.bearer_token.as_deref().is_some_and(|token| !token.is_empty());
    let client = remote.agents(context, has_token).await?;
    let url = client.url(&remote.path("invocations"), &[("qualifier", Some("DEFAULT"))]);
    let (agent, entry) = project.agent(Some(&remote.name))?;
    let remembered = entry.session_id().and_then(|id| id.parse().ok());
    let named = args.session_id.clone().or_else(|| fresh(args));
    let session = named.or_else(|| remembered.clone()).unwrap_or_else(|| Uuid::new_v4().into());
    let continues = remembered.as_ref() == Some(&session);
    let (project, agent, session) = (Some(project), Some(agent), Some(session));
    let mut call = Call { client, url, project, agent, place: Place::Deployed(remote), session, continues };
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
    let (place, session) = (Place::ByItself, Some(session));
    Call { client, url, project: None, agent: None, place, session, continues: false }
}

fn fresh(args: &Args) -> Option<SessionId> {
    args.new_session.then(|| Uuid::new_v4().into())
}

impl Call {
    /// Works out whom to call.
    pub(super) async fn of(args: &Args, context: &Context) -> anyhow::Result<Self> {
        match deployed(args, context)? {
            _ if args.dev => Ok(dev_call(args, context)),
            Some((project, remote)) => deployed_call(args, context, project, remote).await,
            None => hosted_call(args, context).await,
        }
    }

    pub(super) fn explain(&self, error: ClientError) -> anyhow::Error {
        match &self.place {
            Place::Deployed(remote) => remote.explain(error),
            Place::ByItself if error.is_not_running() => {
                let message = format!("no agent answers at {}", self.client.endpoint().as_str());
                Failure::new(message).hint("start it by itself, and name its port with --port").into()
            }
            Place::Host | Place::ByItself => error.into(),
        }
    }

    /// What to do where the host does not know the agent.
    pub(super) fn unknown_hint(&self) -> Option<String> {
        let agent = self.agent.as_ref()?;
        Some(match &self.place {
            Place::Deployed(_) => format!("deploy {agent} again: `agentcore deploy --endpoint URL`"),
            Place::Host | Place::ByItself => {
                format!("does the host know {agent}? `agentcore launch -l` serves the project's agents")
            }
        })
    }

    /// Where to look when the agent failed. What a deployed one wrote last is in the error itself.
    pub(super) fn logs_hint(&self) -> Option<String> {
        match &self.place {
            Place::Host => {
                Some(answer::logs_hint(self.agent.as_deref(), self.session.as_ref().map(SessionId::as_str)))
            }
            Place::ByItself => Some("what the agent wrote is where it was started".to_owned()),
            Place::Deployed(_) => None,
        }
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
    pub(super) fn tell_session(&mut self, answer: &HeaderMap, is_named: bool) {
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
