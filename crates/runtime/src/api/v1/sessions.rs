//! Sessions: list, show with the timeline, stop.

use std::collections::HashSet;
use std::sync::Arc;

use agentcore_protocol::{IncarnationId, SessionId};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::view::SessionView;
use super::{Api, ApiError};
use crate::api::caller::Caller;
use crate::key::SessionKey;
use crate::session::SessionHandle;
use crate::session::reason::{StopKind, StopReason};
use crate::store::{IncarnationRecord, SessionFilter, TimelineEntry};

/// How many stopped sessions are listed unless asked otherwise.
const DEFAULT_LIMIT: u32 = 100;
/// How many earlier incarnations are shown with the latest.
const EARLIER: u32 = 20;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    agent: Option<String>,
    #[serde(default)]
    state: Wanted,
    limit: Option<u32>,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Running,
    Stopped,
    #[default]
    All,
}

#[derive(Serialize)]
pub(super) struct SessionList {
    sessions: Vec<SessionView>,
}

#[derive(Serialize)]
pub(super) struct SessionDetails {
    #[serde(flatten)]
    latest: SessionView,
    timeline: Vec<TimelineEntry>,
    earlier: Vec<SessionView>,
}

/// Which agent's session is meant.
#[derive(Deserialize)]
pub(super) struct Whose {
    agent: Option<String>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<SessionList>, ApiError> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let is_wanted = |agent: &str| query.agent.as_deref().is_none_or(|wanted| wanted == agent);
    // Before the records are read, so that one that stops meanwhile is not missed.
    let living = api.manager.living();
    let mut sessions = Vec::new();
    if query.state != Wanted::Stopped {
        for session in living.iter().filter(|session| is_wanted(&session.key.agent)) {
            sessions.push(SessionView::living(session, &api.clock).await);
        }
    }
    if query.state != Wanted::Running {
        let filter = SessionFilter {
            agent: query.agent.clone(),
            living: Some(false),
            limit,
            ..SessionFilter::default()
        };
        let seen: HashSet<IncarnationId> = sessions.iter().map(|session| session.incarnation).collect();
        let stopped = api.store.incarnations(filter).await?;
        let unseen = stopped.into_iter().filter(|record| !seen.contains(&record.begun.id));
        sessions.extend(unseen.map(SessionView::recorded));
    }
    sessions.sort_by_key(|session| std::cmp::Reverse(session.started_at));
    if query.limit.is_some() {
        sessions.truncate(limit as usize);
    }
    Ok(Json(SessionList { sessions }))
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Query(whose): Query<Whose>,
) -> Result<Json<SessionDetails>, ApiError> {
    // Before the records are read, so that one that stops meanwhile is not shown as it was.
    let living = api.manager.living();
    let mut records = incarnations(&api, id, whose.agent, EARLIER + 1).await?.into_iter();
    let latest = records.next().ok_or(ApiError::UnknownSession)?;
    let timeline = api.store.timeline(latest.begun.id).await?;
    let latest = view(&api, &living, latest).await;
    let mut earlier = Vec::new();
    for record in records {
        earlier.push(view(&api, &living, record).await);
    }
    Ok(Json(SessionDetails { latest, timeline, earlier }))
}

pub(super) async fn stop(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(whose): Query<Whose>,
) -> Result<(StatusCode, Json<SessionView>), ApiError> {
    let agent = api.agent_name(whose.agent)?;
    let key = SessionKey { principal: caller.principal(), agent: agent.into(), session: id.parse()? };
    let session = api.manager.find(&key).or_else(|| anybodys(&api, &key)).ok_or(ApiError::NotRunning)?;
    session.stop(StopReason::new(StopKind::StopRequested, "somebody asked for it")).await;
    Ok((StatusCode::ACCEPTED, Json(SessionView::living(&session, &api.clock).await)))
}

/// The session of that id, whosever it is: an operator looks after all of them.
fn anybodys(api: &Api, key: &SessionKey) -> Option<SessionHandle> {
    let is_it = |one: &SessionKey| one.agent == key.agent && one.session == key.session;
    api.manager.living().into_iter().find(|session| is_it(&session.key) && session.is_open())
}

/// The newest incarnations of a session, newest first.
pub(super) async fn incarnations(
    api: &Api,
    id: String,
    agent: Option<String>,
    limit: u32,
) -> Result<Vec<IncarnationRecord>, ApiError> {
    let session: SessionId = id.parse()?;
    let agent = api.agent_name(agent)?;
    // So that what has happened by now is on record.
    api.store.flush().await?;
    Ok(api.store.incarnations(SessionFilter::session(&agent, session, limit)).await?)
}

async fn view(api: &Api, living: &[SessionHandle], record: IncarnationRecord) -> SessionView {
    match living.iter().find(|session| session.incarnation == record.begun.id) {
        Some(living) => SessionView::living(living, &api.clock).await,
        None => SessionView::recorded(record),
    }
}

impl Api {
    /// The name of the agent that is meant. It may be one that is no longer served.
    fn agent_name(&self, name: Option<String>) -> Result<String, ApiError> {
        match name {
            Some(name) => Ok(name),
            None => Ok(self.agent(None)?.name.to_string()),
        }
    }
}
