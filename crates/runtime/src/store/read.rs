//! Everything that can be read.

use std::collections::HashSet;
use std::str::FromStr;

use agentcore_protocol::lifecycle::{LifecycleBounds, LifecycleConfiguration};
use agentcore_protocol::{IncarnationId, LifecycleLimits, SessionId, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use serde::de::DeserializeOwned;

use super::record::{Change, IncarnationRecord, NewIncarnation, Phase, TimelineEntry};
use super::{Store, StoreError};
use crate::key::{Principal, SessionKey};
use crate::session::reason::StopReason;

/// Which incarnations to list, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionFilter {
    pub(crate) agent: Option<String>,
    pub(crate) session: Option<SessionId>,
    /// `Some(true)`: those that have not ended; `Some(false)`: those that have.
    pub(crate) living: Option<bool>,
    pub(crate) limit: u32,
}

const COLUMNS: &str = "id, principal, agent, session_id, folder, idle_timeout, max_lifetime, phase, started_at, \
                       idle_since, ended_at, reason_kind, reason_detail, last_words";

impl Store {
    /// The session of those who name none.
    pub(crate) async fn default_session(
        &self,
        principal: Principal,
        agent: String,
    ) -> Result<Option<SessionId>, StoreError> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT session_id FROM default_sessions WHERE principal = ?1 AND agent = ?2",
            )?;
            let mut rows = query.query(params![principal.as_str(), agent])?;
            rows.next()?.map(|row| parsed(row, 0)).transpose().map_err(StoreError::from)
        })
        .await
    }

    /// The incarnations that `filter` lets through, newest first.
    pub(crate) async fn incarnations(
        &self,
        filter: SessionFilter,
    ) -> Result<Vec<IncarnationRecord>, StoreError> {
        self.read(move |connection| list(connection, &filter)).await
    }

    /// The timeline of an incarnation, oldest first.
    pub(crate) async fn timeline(
        &self,
        incarnation: IncarnationId,
    ) -> Result<Vec<TimelineEntry>, StoreError> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT at, event, detail FROM timeline WHERE incarnation = ?1 ORDER BY id",
            )?;
            let rows = query.query_map([incarnation.to_string()], |row| {
                Ok(TimelineEntry { at: timestamp(row.get(0)?), event: row.get(1)?, detail: row.get(2)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The names of the folders that belong to an incarnation on record.
    pub(crate) async fn folders(&self) -> Result<HashSet<String>, StoreError> {
        self.read(|connection| {
            let mut query = connection.prepare_cached("SELECT folder FROM incarnations")?;
            let rows = query.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn list(connection: &Connection, filter: &SessionFilter) -> Result<Vec<IncarnationRecord>, StoreError> {
    let living = match filter.living {
        None => "",
        Some(true) => "AND phase <> 'stopped'",
        Some(false) => "AND phase = 'stopped'",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM incarnations
         WHERE (?1 IS NULL OR agent = ?1) AND (?2 IS NULL OR session_id = ?2) {living}
         ORDER BY started_at DESC, rowid DESC LIMIT ?3"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let session = filter.session.as_ref().map(SessionId::as_str);
    let rows = query.query_map(params![filter.agent, session, filter.limit], incarnation)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn incarnation(row: &Row<'_>) -> rusqlite::Result<IncarnationRecord> {
    let key = SessionKey {
        principal: Principal::named(&row.get::<_, String>(1)?),
        agent: row.get::<_, String>(2)?.into(),
        session: parsed(row, 3)?,
    };
    let begun = NewIncarnation {
        id: parsed::<IncarnationId>(row, 0)?,
        key,
        folder: row.get(4)?,
        limits: limits(row)?,
        started_at: timestamp(row.get(8)?),
    };
    let reason = match row.get::<_, Option<String>>(11)? {
        None => None,
        Some(kind) => Some(StopReason { kind: named(11, kind)?, detail: row.get(12)? }),
    };
    let now = Change {
        phase: parsed::<Phase>(row, 7)?,
        idle_since: row.get::<_, Option<i64>>(9)?.map(timestamp),
        ended_at: row.get::<_, Option<i64>>(10)?.map(timestamp),
        reason,
        last_words: row.get(13)?,
    };
    Ok(IncarnationRecord { begun, now })
}

fn limits(row: &Row<'_>) -> rusqlite::Result<LifecycleLimits> {
    let seconds = |index| row.get::<_, i64>(index).map(|seconds| seconds.max(0) as u64);
    let configuration = LifecycleConfiguration {
        idle_runtime_session_timeout: Some(seconds(5)?),
        max_lifetime: Some(seconds(6)?),
    };
    configuration.resolve(LifecycleBounds::LOCAL).map_err(|error| malformed(5, error))
}

pub(super) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis.max(0) as u64)
}

/// A text that a type of ours reads.
pub(super) fn parsed<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: ToString,
{
    row.get::<_, String>(index)?.parse().map_err(|error: T::Err| malformed(index, error))
}

/// A unit variant by its name.
pub(super) fn named<T: DeserializeOwned>(index: usize, name: String) -> rusqlite::Result<T> {
    serde_json::from_value(serde_json::Value::String(name)).map_err(|error| malformed(index, error))
}

pub(super) fn malformed(index: usize, error: impl ToString) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.to_string().into())
}

impl SessionFilter {
    /// Every incarnation that has not ended.
    pub(crate) fn living() -> Self {
        Self { living: Some(true), limit: u32::MAX, ..Self::default() }
    }

    /// The newest incarnations of one session.
    pub(crate) fn session(agent: &str, session: SessionId, limit: u32) -> Self {
        Self { agent: Some(agent.to_owned()), session: Some(session), living: None, limit }
    }
}
