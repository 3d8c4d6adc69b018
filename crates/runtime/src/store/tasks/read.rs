//! Tasks, read.

use agentcore_protocol::{IncarnationId, TaskFailure, TaskId};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use serde_json::value::RawValue;

use super::{JournalPosition, RecordedTask, TaskFilter};
use crate::key::{Principal, SessionKey};
use crate::session::reason::StopReason;
use crate::store::read::{malformed, named, parsed, timestamp};
use crate::store::{Store, StoreError};

const COLUMNS: &str = "incarnation, task_id, principal, agent, session_id, name, status, metadata, progress, \
                       result, error_type, error_message, reason_kind, reason_detail, started_at, updated_at, \
                       ended_at";

impl Store {
    /// One task.
    pub(crate) async fn task(
        &self,
        incarnation: IncarnationId,
        task: TaskId,
    ) -> Result<Option<RecordedTask>, StoreError> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM tasks WHERE incarnation = ?1 AND task_id = ?2");
            let mut query = connection.prepare_cached(&sql)?;
            Ok(query.query_row((incarnation.to_string(), number(task)), recorded).optional()?)
        })
        .await
    }

    /// The tasks that `filter` lets through, newest first.
    pub(crate) async fn tasks(&self, filter: TaskFilter) -> Result<Vec<RecordedTask>, StoreError> {
        self.read(move |connection| list(connection, &filter)).await
    }

    /// How far the journal of an incarnation has been read.
    pub(crate) async fn journal(&self, incarnation: IncarnationId) -> Result<JournalPosition, StoreError> {
        self.read(move |connection| {
            let mut query =
                connection.prepare_cached("SELECT inode, offset FROM journals WHERE incarnation = ?1")?;
            let found = query.query_row([incarnation.to_string()], |row| {
                let (inode, offset): (i64, i64) = (row.get(0)?, row.get(1)?);
                Ok(JournalPosition { inode: inode.cast_unsigned(), offset: offset.cast_unsigned() })
            });
            Ok(found.optional()?.unwrap_or_default())
        })
        .await
    }
}

/// Each filter is a condition of its own, so that there is an index for the one that counts most.
fn list(connection: &Connection, filter: &TaskFilter) -> Result<Vec<RecordedTask>, StoreError> {
    let mut conditions = Vec::new();
    let mut values: Vec<rusqlite::types::Value> = Vec::new();
    let mut only = |condition: &'static str, value: Option<String>| {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(value.into());
        }
    };
    only("session_id = ?", filter.session.as_ref().map(ToString::to_string));
    only("agent = ?", filter.agent.clone());
    only("principal = ?", filter.principal.as_ref().map(ToString::to_string));
    only("status = ?", filter.state.map(|state| state.as_str().to_owned()));
    if let Some(task) = filter.task_id {
        conditions.push("task_id = ?");
        values.push(number(task).into());
    }
    if let Some((incarnation, task)) = filter.before {
        conditions.push(
            "(started_at, rowid) < (SELECT started_at, rowid FROM tasks WHERE incarnation = ? AND task_id = ?)",
        );
        values.extend([incarnation.to_string().into(), number(task).into()]);
    }
    let conditions = if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") };
    let sql = format!(
        "SELECT {COLUMNS} FROM tasks WHERE {conditions} ORDER BY started_at DESC, rowid DESC LIMIT {}",
        filter.limit
    );
    let mut query = connection.prepare_cached(&sql)?;
    let rows = query.query_map(params_from_iter(values), recorded)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn recorded(row: &Row<'_>) -> rusqlite::Result<RecordedTask> {
    let id = row.get::<_, i64>(1)?.cast_unsigned();
    let error = match row.get::<_, Option<String>>(10)? {
        None => None,
        Some(kind) => Some(TaskFailure { kind, message: row.get(11)? }),
    };
    let reason = match row.get::<_, Option<String>>(12)? {
        None => None,
        Some(kind) => Some(StopReason { kind: named(12, kind)?, detail: row.get(13)? }),
    };
    Ok(RecordedTask {
        incarnation: parsed(row, 0)?,
        task_id: TaskId::try_from(id).map_err(|error| malformed(1, error))?,
        key: SessionKey {
            principal: Principal::named(&row.get::<_, String>(2)?),
            agent: row.get::<_, String>(3)?.into(),
            session: parsed(row, 4)?,
        },
        name: row.get(5)?,
        state: parsed(row, 6)?,
        metadata: json(row, 7)?,
        progress: json(row, 8)?,
        result: json(row, 9)?,
        error,
        reason,
        started_at: timestamp(row.get(14)?),
        updated_at: timestamp(row.get(15)?),
        ended_at: row.get::<_, Option<i64>>(16)?.map(timestamp),
    })
}

fn json(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Box<RawValue>>> {
    let text: Option<String> = row.get(index)?;
    text.map(RawValue::from_string).transpose().map_err(|error| malformed(index, error))
}

/// As SQLite keeps it: a task id is below 2^53.
pub(super) fn number(task: TaskId) -> i64 {
    task.get().cast_signed()
}
