//! Tasks, read.

use agentcore_protocol::{IncarnationId, SessionId, TaskFailure, TaskId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use serde_json::value::RawValue;

use super::{JournalPosition, RecordedTask, TaskFilter, TaskState};
use crate::key::{Principal, SessionKey};
use crate::session::reason::StopReason;
use crate::store::conditions::Conditions;
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

    /// Whether an agent has tasks.
    pub(crate) async fn has_tasks_of(&self, agent: String) -> Result<bool, StoreError> {
        self.read(move |connection| {
            Ok(connection.prepare_cached("SELECT 1 FROM tasks WHERE agent = ?1")?.exists([agent])?)
        })
        .await
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

fn list(connection: &Connection, filter: &TaskFilter) -> Result<Vec<RecordedTask>, StoreError> {
    let (sql, values) = query(filter);
    let mut query = connection.prepare_cached(&sql)?;
    let rows = query.query_map(params_from_iter(values), recorded)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn query(filter: &TaskFilter) -> (String, Vec<Value>) {
    let mut conditions = Conditions::default();
    conditions.equal("task_id", filter.task_id.map(number));
    conditions.text("session_id", filter.session.as_ref().map(SessionId::as_str));
    conditions.text("agent", filter.agent.as_deref());
    conditions.text("principal", filter.principal.as_ref().map(Principal::as_str));
    conditions.text("status", filter.state.map(TaskState::as_str));
    if let Some((incarnation, task)) = filter.before {
        conditions.add(
            "(started_at, rowid) < (SELECT started_at, rowid FROM tasks WHERE incarnation = ? AND task_id = ?)",
            [incarnation.to_string().into(), number(task).into()],
        );
    }
    let (conditions, mut values) = conditions.into_sql();
    values.push(filter.limit.into());
    let order = "ORDER BY started_at DESC, rowid DESC LIMIT ?";
    (format!("SELECT {COLUMNS} FROM tasks WHERE {conditions} {order}"), values)
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::tests::plan;

    #[tokio::test]
    async fn each_list_walks_an_index_and_sorts_nothing() {
        let session = || Some(SessionId::from(Uuid::from_u128(1)));
        let agent = || Some("writer".to_owned());
        let principal = || Some(Principal::local());
        let incarnation = IncarnationId::try_from(Uuid::from_u128(1)).unwrap();
        for (wanted, filter) in [
            ("tasks_by_start", TaskFilter::default()),
            ("tasks_by_session", TaskFilter { session: session(), ..TaskFilter::default() }),
            (
                "tasks_by_session",
                TaskFilter {
                    session: session(),
                    agent: agent(),
                    principal: principal(),
                    state: Some(TaskState::Running),
                    ..TaskFilter::default()
                },
            ),
            (
                "tasks_by_agent",
                TaskFilter { agent: agent(), principal: principal(), ..TaskFilter::default() },
            ),
            ("tasks_by_principal", TaskFilter { principal: principal(), ..TaskFilter::default() }),
        ] {
            let page = TaskFilter { before: Some((incarnation, TaskId::from_random(1))), ..filter.clone() };
            for (filter, bound) in [(filter, ""), (page, "started_at<?")] {
                let (sql, values) = query(&filter);
                let plan = plan(&sql, values).await;
                let walk = plan.lines().find(|line| line.contains(wanted)).unwrap_or_default();
                assert!(walk.contains(wanted) && walk.contains(bound), "{filter:?}: {plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
            }
        }
    }
}
