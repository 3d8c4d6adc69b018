//! Everything that can be written.

use std::collections::HashMap;
use std::sync::Arc;

use agentcore_protocol::{IncarnationId, InvocationId, SessionId, TaskId, Timestamp};
use rusqlite::{Connection, params};

use super::record::{self, NewIncarnation, Phase, TimelineEntry};
use super::tasks::{self, TaskChanges};
use super::{StoreError, invocations, runtimes};
use crate::invocations::{End, Head, NewInvocation};
use crate::key::Principal;
use crate::options::Retention;
use crate::registry::{Answered, Change, Runtime};
use crate::session::reason::StopReason;

/// One write.
#[derive(Debug)]
pub(crate) enum Write {
    /// Nothing; its acknowledgement tells that all before it is on disk.
    Nothing,
    /// Change an agent runtime, which is on record as it was `before`, and remember what was answered.
    /// What the sessions of one that is deleted did stays until it is too old.
    Catalogue { before: Option<Arc<Runtime>>, change: Change, answered: Option<Answered> },
    /// Remember the session of those who name none, unless there is one.
    DefaultSession { principal: Principal, agent: String, session: SessionId },
    /// Note that an incarnation is about to be started.
    Begin(NewIncarnation),
    /// Note what happened to an incarnation, and what it has become.
    Happened { incarnation: IncarnationId, entries: Vec<TimelineEntry>, change: Option<record::Change> },
    /// Forget what is older than is to be kept.
    Prune(Retention),
    /// The host answers for an invocation from now on.
    Accept(Box<NewInvocation>),
    /// An invocation is about to be given to an agent.
    Start { id: InvocationId, incarnation: IncarnationId, at: Timestamp },
    /// An invocation is answered into a file.
    Answering { id: InvocationId, head: Arc<Head> },
    /// An invocation has ended.
    End { id: InvocationId, end: Box<End> },
    /// Whatever ran has ended with the host that ran it.
    InterruptAll { at: Timestamp, reason: &'static str },
    /// Forget these invocations.
    Forget(Vec<InvocationId>),
    /// Note what a session's journal says of its tasks.
    Tasks(Box<TaskChanges>),
    /// Forget a task that has ended.
    ForgetTask { incarnation: IncarnationId, task: TaskId },
    /// Forget tasks of an agent, a bounded number at once.
    ForgetTasks { agent: String },
    /// Forget tasks that are older, or more, than are to be kept: of most agents as much, of some what
    /// they say themselves.
    PruneTasks { retention: Retention, own: HashMap<String, Retention>, now: Timestamp },
}

impl Write {
    pub(super) fn apply(&self, connection: &Connection) -> Result<(), StoreError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Catalogue { before, change, answered } => {
                runtimes::change(connection, before.as_deref(), change, answered.as_ref())
            }
            Self::DefaultSession { principal, agent, session } => {
                connection
                    .prepare_cached("INSERT OR IGNORE INTO default_sessions VALUES (?1, ?2, ?3)")?
                    .execute(params![principal.as_str(), agent, session.as_str()])?;
                Ok(())
            }
            Self::Begin(new) => begin(connection, new),
            Self::Happened { incarnation, entries, change } => {
                let id = incarnation.to_string();
                append(connection, &id, entries)?;
                change.as_ref().map_or(Ok(()), |change| become_(connection, &id, change))
            }
            Self::Prune(retention) => prune(connection, *retention),
            Self::Accept(new) => invocations::accept(connection, new),
            Self::Start { id, incarnation, at } => invocations::start(connection, *id, *incarnation, *at),
            Self::Answering { id, head } => invocations::answering(connection, *id, head),
            Self::End { id, end } => invocations::end(connection, *id, end),
            Self::InterruptAll { at, reason } => invocations::interrupt_all(connection, *at, reason),
            Self::Forget(ids) => invocations::forget(connection, ids),
            Self::Tasks(changes) => tasks::apply(connection, changes),
            Self::ForgetTask { incarnation, task } => tasks::forget(connection, *incarnation, *task),
            Self::ForgetTasks { agent } => tasks::forget_some_of(connection, agent),
            Self::PruneTasks { retention, own, now } => {
                tasks::prune(connection, |agent| *own.get(agent).unwrap_or(retention), *now)
            }
        }
    }

    /// Whether it happens as a whole or not at all by itself.
    pub(super) const fn is_one_statement(&self) -> bool {
        matches!(
            self,
            Self::Nothing
                | Self::Accept(_)
                | Self::Start { .. }
                | Self::Answering { .. }
                | Self::End { .. }
                | Self::InterruptAll { .. }
        )
    }
}

pub(super) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.unix_millis()).unwrap_or(i64::MAX)
}

fn begin(connection: &Connection, new: &NewIncarnation) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO incarnations
                 (id, principal, agent, session_id, folder, idle_timeout, max_lifetime, phase, started_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'starting', ?8)",
        )?
        .execute(params![
            new.id.to_string(),
            new.key.principal.as_str(),
            &*new.key.agent,
            new.key.session.as_str(),
            new.folder,
            new.limits.idle_timeout().as_secs() as i64,
            new.limits.max_lifetime().as_secs() as i64,
            millis(new.started_at),
        ])?;
    Ok(())
}

pub(super) fn append(connection: &Connection, id: &str, entries: &[TimelineEntry]) -> Result<(), StoreError> {
    let mut insert = connection
        .prepare_cached("INSERT INTO timeline (incarnation, at, event, detail) VALUES (?1, ?2, ?3, ?4)")?;
    for entry in entries {
        insert.execute(params![id, millis(entry.at), entry.event, entry.detail])?;
    }
    Ok(())
}

fn become_(connection: &Connection, id: &str, change: &record::Change) -> Result<(), StoreError> {
    let reason = change.reason.as_ref();
    connection
        .prepare_cached(
            "UPDATE incarnations
             SET phase = ?2, idle_since = ?3, ended_at = ?4, reason_kind = ?5, reason_detail = ?6, last_words = ?7
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            change.phase.as_str(),
            change.idle_since.map(millis),
            change.ended_at.map(millis),
            reason.map(|reason| reason.kind.as_str()),
            reason.map(|StopReason { detail, .. }| detail),
            change.last_words,
        ])?;
    match (change.phase, change.ended_at) {
        (Phase::Stopped, Some(ended_at)) => tasks::lose(connection, id, reason, ended_at),
        _ => Ok(()),
    }
}

fn prune(connection: &Connection, retention: Retention) -> Result<(), StoreError> {
    connection.execute(
        "DELETE FROM incarnations WHERE id IN (
             SELECT id FROM (
                 SELECT id, row_number() OVER (PARTITION BY agent ORDER BY ended_at DESC) AS age
                 FROM incarnations WHERE phase = 'stopped'
             ) WHERE age > ?1
         )",
        [retention.stopped_per_agent],
    )?;
    connection.execute(
        "DELETE FROM timeline WHERE id IN (
             SELECT id FROM (
                 SELECT id, row_number() OVER (PARTITION BY incarnation ORDER BY id DESC) AS age FROM timeline
             ) WHERE age > ?1
         )",
        [retention.events_per_incarnation],
    )?;
    Ok(())
}
