//! What a journal changes, written.
//!
//! An agent may write into its journal whatever it likes, so what one incarnation has on record is
//! bounded: the tasks that ended first make room for new ones.

use agentcore_protocol::{IncarnationId, TaskId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::value::RawValue;

use super::read::number;
use super::{TaskChanges, TaskEnd, TaskStart, TaskUpdate};
use crate::options::Retention;
use crate::session::reason::StopReason;
use crate::store::record::TimelineEntry;
use crate::store::write::{append, millis};
use crate::store::{StoreError, agents};

/// Most tasks of one incarnation.
pub(super) const MOST_TASKS: i64 = 10_000;
/// Most bytes of their values, taken together.
pub(super) const MOST_BYTES: i64 = 64 << 20;
/// How many tasks make room at once.
const AT_ONCE: i64 = 64;
/// Most tasks that one round of pruning removes for one reason, so that others may write.
const PRUNED_AT_ONCE: i64 = 2_000;

/// Writes what a piece of a journal says, and how far it has been read.
pub(in crate::store) fn apply(connection: &Connection, changes: &TaskChanges) -> Result<(), StoreError> {
    let mut book = Book::open(connection, changes)?;
    let refused_before = book.refused;
    for update in &changes.updates {
        book.update(update)?;
    }
    if refused_before == 0 && book.refused > 0 {
        let detail = format!(
            "{MOST_TASKS} tasks are running, as many as are kept on record: further ones are not, until some end"
        );
        let entry = TimelineEntry { at: changes.at, event: "tasks_left_out".into(), detail: Some(detail) };
        append(connection, &book.id, &[entry])?;
    }
    book.close()
}

/// Says of the tasks that still run that their session ended first.
pub(in crate::store) fn lose(
    connection: &Connection,
    id: &str,
    reason: Option<&StopReason>,
    at: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE tasks SET status = 'lost', updated_at = ?2, ended_at = ?2, reason_kind = ?3, reason_detail = ?4
             WHERE incarnation = ?1 AND status = 'running'",
        )?
        .execute(params![
            id,
            millis(at),
            reason.map(|reason| reason.kind.as_str()),
            reason.map(|reason| &reason.detail)
        ])?;
    Ok(())
}

/// What an incarnation has on record, while a piece of its journal is written.
struct Book<'a> {
    connection: &'a Connection,
    changes: &'a TaskChanges,
    id: String,
    tasks: i64,
    bytes: i64,
    refused: i64,
}

impl<'a> Book<'a> {
    fn open(connection: &'a Connection, changes: &'a TaskChanges) -> Result<Self, StoreError> {
        let id = changes.incarnation.to_string();
        let found = connection
            .prepare_cached("SELECT tasks, bytes, refused FROM journals WHERE incarnation = ?1")?
            .query_row([&id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let (tasks, bytes, refused) = found.unwrap_or_default();
        Ok(Self { connection, changes, id, tasks, bytes, refused })
    }

    fn close(self) -> Result<(), StoreError> {
        let position = self.changes.position;
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO journals VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                self.id,
                position.inode.cast_signed(),
                position.offset.cast_signed(),
                self.tasks,
                self.bytes,
                self.refused
            ])?;
        Ok(())
    }

    fn update(&mut self, update: &TaskUpdate) -> Result<(), StoreError> {
        let task = number(update.task_id);
        if let Some(start) = &update.started {
            self.start(task, start)?;
        }
        // What is said of a task that is unknown, or has ended, does not count.
        let old = self
            .connection
            .prepare_cached(
                "SELECT ifnull(octet_length(progress), 0) FROM tasks
                 WHERE incarnation = ?1 AND task_id = ?2 AND status = 'running'",
            )?
            .query_row(params![self.id, task], |row| row.get(0))
            .optional()?;
        let Some(old) = old else { return Ok(()) };
        if let Some((at, progress)) = &update.progress {
            self.progress(task, *at, progress, old)?;
        }
        if let Some((at, end)) = &update.end {
            self.end(task, *at, end)?;
        }
        Ok(())
    }

    fn start(&mut self, task: i64, start: &TaskStart) -> Result<(), StoreError> {
        let known = self
            .connection
            .prepare_cached("SELECT 1 FROM tasks WHERE incarnation = ?1 AND task_id = ?2")?
            .exists(params![self.id, task])?;
        if known {
            return Ok(());
        }
        if self.tasks >= MOST_TASKS && !self.make_room()? {
            self.refused += 1;
            return Ok(());
        }
        let metadata = self.afford(start.metadata.as_deref())?;
        let key = &self.changes.key;
        let bytes = metadata.map_or(0, length) + start.name.len() as i64;
        self.connection
            .prepare_cached(
                "INSERT INTO tasks (incarnation, task_id, principal, agent, session_id, name, status, metadata,
                                    bytes, started_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'running', ?7, ?8, ?9, ?9)",
            )?
            .execute(params![
                self.id,
                task,
                key.principal.as_str(),
                &*key.agent,
                key.session.as_str(),
                start.name,
                metadata.map(RawValue::get),
                bytes,
                millis(start.at),
            ])?;
        self.tasks += 1;
        self.bytes += bytes;
        Ok(())
    }

    fn progress(&mut self, task: i64, at: Timestamp, value: &RawValue, old: i64) -> Result<(), StoreError> {
        let Some(progress) = self.afford(Some(value))? else { return Ok(()) };
        let more = length(progress) - old;
        self.connection
            .prepare_cached(
                "UPDATE tasks SET progress = ?3, updated_at = ?4, bytes = bytes + ?5
                 WHERE incarnation = ?1 AND task_id = ?2",
            )?
            .execute(params![self.id, task, progress.get(), millis(at), more])?;
        self.bytes += more;
        Ok(())
    }

    fn end(&mut self, task: i64, at: Timestamp, end: &TaskEnd) -> Result<(), StoreError> {
        let (status, result, error) = match end {
            TaskEnd::Completed(result) => ("completed", self.afford(result.as_deref())?, None),
            TaskEnd::Failed(failure) => ("failed", None, Some(failure)),
            TaskEnd::Cancelled => ("cancelled", None, None),
        };
        let of_error = error.map_or(0, |error| (error.kind.len() + error.message.len()) as i64);
        let more = result.map_or(0, length) + of_error;
        self.connection
            .prepare_cached(
                "UPDATE tasks SET status = ?3, result = ?4, error_type = ?5, error_message = ?6, updated_at = ?7,
                                  ended_at = ?7, bytes = bytes + ?8
                 WHERE incarnation = ?1 AND task_id = ?2",
            )?
            .execute(params![
                self.id,
                task,
                status,
                result.map(RawValue::get),
                error.map(|error| &error.kind),
                error.map(|error| &error.message),
                millis(at),
                more,
            ])?;
        self.bytes += more;
        Ok(())
    }

    /// The value, if there is room for it.
    fn afford<'v>(&mut self, value: Option<&'v RawValue>) -> Result<Option<&'v RawValue>, StoreError> {
        let Some(value) = value else { return Ok(None) };
        while self.bytes + length(value) > MOST_BYTES {
            if !self.make_room()? {
                return Ok(None);
            }
        }
        Ok(Some(value))
    }

    /// Forgets the tasks that ended first; whether there were any.
    fn make_room(&mut self) -> Result<bool, StoreError> {
        let mut forget = self.connection.prepare_cached(
            "DELETE FROM tasks WHERE rowid IN (
                 SELECT rowid FROM tasks WHERE incarnation = ?1 AND status <> 'running' ORDER BY ended_at LIMIT ?2
             ) RETURNING bytes",
        )?;
        let freed: Vec<i64> =
            forget.query_map(params![self.id, AT_ONCE], |row| row.get(0))?.collect::<Result<_, _>>()?;
        self.tasks -= freed.len() as i64;
        self.bytes -= freed.iter().sum::<i64>();
        Ok(!freed.is_empty())
    }
}

fn length(value: &RawValue) -> i64 {
    value.get().len() as i64
}

/// Forgets a task, unless it runs.
pub(in crate::store) fn forget(
    connection: &Connection,
    incarnation: IncarnationId,
    task: TaskId,
) -> Result<(), StoreError> {
    let id = incarnation.to_string();
    let bytes: Option<i64> = connection
        .prepare_cached(
            "DELETE FROM tasks WHERE incarnation = ?1 AND task_id = ?2 AND status <> 'running' RETURNING bytes",
        )?
        .query_row(params![id, number(task)], |row| row.get(0))
        .optional()?;
    if let Some(bytes) = bytes {
        connection
            .prepare_cached(
                "UPDATE journals SET tasks = tasks - 1, bytes = bytes - ?2 WHERE incarnation = ?1",
            )?
            .execute(params![id, bytes])?;
    }
    Ok(())
}

/// Forgets some tasks of an agent whose sessions have all ended.
pub(in crate::store) fn forget_some_of(connection: &Connection, agent: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "DELETE FROM tasks WHERE rowid IN (SELECT rowid FROM tasks WHERE agent = ?1 LIMIT ?2)",
        )?
        .execute(params![agent, PRUNED_AT_ONCE])?;
    Ok(())
}

/// Forgets tasks of ended sessions that are older, or more, than are to be kept of their agents.
pub(in crate::store) fn prune(
    connection: &Connection,
    kept: impl Fn(&str) -> Retention,
    now: Timestamp,
) -> Result<(), StoreError> {
    for agent in agents::of_table(connection, "tasks")? {
        let Retention { tasks_per_agent, task_age, .. } = kept(&agent);
        let age = u64::try_from(task_age.as_millis()).unwrap_or(u64::MAX);
        let oldest = millis(Timestamp::from_unix_millis(now.unix_millis().saturating_sub(age)));
        connection.prepare_cached(&prunes("ended_at < ?2"))?.execute(params![agent, oldest])?;
        let first_kept: Option<i64> = connection
            .prepare_cached(FIRST_KEPT)?
            .query_row(params![agent, tasks_per_agent.saturating_sub(1)], |row| row.get(0))
            .optional()?;
        if let Some(first_kept) = first_kept {
            connection.prepare_cached(&prunes("TRUE"))?.execute(params![agent, first_kept])?;
        }
    }
    Ok(())
}

/// When the oldest task of an agent began that is kept for its number.
const FIRST_KEPT: &str =
    "SELECT started_at FROM tasks WHERE agent = ?1 ORDER BY started_at DESC LIMIT 1 OFFSET ?2";

/// Forgets some of an agent's tasks that began before a moment, as all did that ended before it.
fn prunes(condition: &str) -> String {
    format!(
        "DELETE FROM tasks WHERE rowid IN (
             SELECT rowid FROM tasks INDEXED BY tasks_by_agent
             WHERE agent = ?1 AND started_at < ?2 AND {condition} AND status <> 'running' AND NOT EXISTS
                 (SELECT 1 FROM incarnations WHERE incarnations.id = tasks.incarnation AND phase <> 'stopped')
             LIMIT {PRUNED_AT_ONCE}
         )"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::plan;

    #[tokio::test]
    async fn only_what_began_before_a_moment_is_looked_at() {
        let values = || vec!["writer".to_owned().into(), 2.into()];
        for condition in ["ended_at < ?2", "TRUE"] {
            let plan = plan(&prunes(condition), values()).await;
            assert!(plan.contains("tasks USING INDEX tasks_by_agent (agent=? AND started_at<?)"), "{plan}");
            assert!(!plan.contains("SCAN"), "{plan}");
        }
        let plan = plan(FIRST_KEPT, values()).await;
        assert_eq!(plan, "SEARCH tasks USING COVERING INDEX tasks_by_agent (agent=?)");
    }
}
