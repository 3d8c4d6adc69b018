//! Which agent and which session a command is about.

use crate::client::model::Sessions;
use crate::client::{ClientError, HostClient};
use crate::failure::Failure;

/// An agent and a session, as far as they are known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The agent; `None` is the host's default one.
    pub(crate) agent: Option<String>,
    /// The session.
    pub(crate) session: Option<String>,
    /// Whether the session is the one that the project remembers.
    pub(crate) remembered: bool,
}

impl Target {
    /// What was named, and no more.
    pub(crate) fn named(agent: Option<&str>, session: Option<&str>) -> Self {
        Self { agent: agent.map(str::to_owned), session: session.map(str::to_owned), remembered: false }
    }

    /// What was named, else what is remembered of the agent.
    pub(crate) fn remembered(agent: &str, session: Option<&str>, remembered: Option<&str>) -> Self {
        Self {
            agent: Some(agent.to_owned()),
            session: session.or(remembered).map(str::to_owned),
            remembered: session.is_none() && remembered.is_some(),
        }
    }

    /// The session, or what to do about there being none.
    pub(crate) fn session(&self) -> Result<&str, Failure> {
        self.session.as_deref().ok_or_else(|| {
            Failure::new("there is no session yet").hint(
                "begin one with `agentcore invoke`, or name one: `agentcore sessions list` has them all",
            )
        })
    }

    /// The session, else the newest one that the host knows of the agent.
    pub(crate) async fn session_or_newest(&self, client: &HostClient) -> anyhow::Result<String> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let query = [("agent", self.agent.as_deref()), ("state", Some("all")), ("limit", Some("1"))];
        let found: Sessions = client.get("/sessions", &query).await?;
        match found.sessions.into_iter().next() {
            Some(newest) => Ok(newest.session_id),
            None => Ok(self.session()?.to_owned()),
        }
    }
}

/// Adds to "unknown session" where the known ones are listed.
pub(crate) fn explain_unknown(error: ClientError) -> anyhow::Error {
    if error.is_not_found() {
        let hint = "`agentcore sessions list --state all` has the sessions that the host knows";
        return Failure::new(error.to_string()).hint(hint).into();
    }
    error.into()
}
