//! Which invocations are past their time, or too many.

use agentcore_protocol::{InvocationId, Timestamp};
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::read::invocation_id;
use crate::store::write::millis;
use crate::store::{Store, StoreError, agents};

/// The oldest of one agent that are to go: two walks from the old end of its index, each only as far
/// as something can be found. One walk with both conditions would look at all that is kept.
const EXPIRED: &str = "
    SELECT id FROM (
        SELECT id FROM invocations INDEXED BY invocations_by_agent
        WHERE agent = ?1 AND +state > 1
          AND id <= (SELECT id FROM invocations WHERE agent = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
        ORDER BY id LIMIT ?5
    )
    UNION
    SELECT id FROM (
        SELECT id FROM invocations INDEXED BY invocations_by_agent
        WHERE agent = ?1 AND +state > 1 AND id < ?3 AND ended_at < ?4
        ORDER BY id LIMIT ?5
    )
    LIMIT ?5";

/// The oldest whose answers in files are too much, with those that are newer.
const TOO_MUCH: &str = "
    SELECT id FROM (
        SELECT id, sum(answer_bytes) OVER (ORDER BY id DESC) AS together
        FROM invocations INDEXED BY invocations_in_files
        WHERE agent = ?1 AND answer_bytes > 16384
    )
    WHERE together > ?2 ORDER BY id LIMIT ?3";

/// What is kept of one agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// The newest, so many.
    pub(crate) most: u32,
    /// Of those, what ended since.
    pub(crate) ended_after: Timestamp,
    /// Of those, the newest whose answers in files take so many bytes.
    pub(crate) bytes: u64,
}

impl Store {
    /// Those that are to be forgotten, some `limit` of each agent.
    pub(crate) async fn expired_invocations(
        &self,
        kept: impl Fn(&str) -> Kept + Send + 'static,
        limit: u32,
    ) -> Result<Vec<InvocationId>, StoreError> {
        self.read(move |connection| {
            let mut expired = Vec::new();
            for agent in agents::of_table(connection, "invocations")? {
                expired.extend(expired_of(connection, &agent, kept(&agent), limit)?);
            }
            Ok(expired)
        })
        .await
    }

    /// Some of an agent's, whatever has become of them.
    pub(crate) async fn some_invocations_of(
        &self,
        agent: String,
        limit: u32,
    ) -> Result<Vec<InvocationId>, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT id FROM invocations WHERE agent = ?1 ORDER BY id LIMIT ?2";
            let mut query = connection.prepare_cached(sql)?;
            let rows = query.query_map(params![agent, limit], |row| invocation_id(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn expired_of(
    connection: &Connection,
    agent: &str,
    kept: Kept,
    limit: u32,
) -> Result<Vec<InvocationId>, StoreError> {
    let Kept { most, ended_after, bytes } = kept;
    // What was accepted later has not ended before.
    let accepted_after = first_id_at(ended_after);
    let mut query = connection.prepare_cached(EXPIRED)?;
    let rows = query
        .query_map(params![agent, most, accepted_after.as_bytes(), millis(ended_after), limit], |row| {
            invocation_id(row, 0)
        })?;
    let mut expired = rows.collect::<Result<Vec<_>, _>>()?;
    let mut query = connection.prepare_cached(TOO_MUCH)?;
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let rows = query.query_map(params![agent, bytes, limit], |row| invocation_id(row, 0))?;
    for id in rows {
        expired.push(id?);
    }
    Ok(expired)
}

/// The smallest id that an invocation of that moment can have.
fn first_id_at(at: Timestamp) -> Uuid {
    Uuid::from_u128(u128::from(at.unix_millis()) << 80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::plan;

    #[tokio::test]
    async fn what_is_kept_is_not_looked_at() {
        let values = [1, 2, 3, 4, 5].map(rusqlite::types::Value::from).to_vec();
        let plan = plan(EXPIRED, values).await;
        assert_eq!(plan.matches("invocations_by_agent (agent=? AND id<?)").count(), 2, "{plan}");
        assert!(!plan.contains("SCAN invocations"), "{plan}");
    }

    #[tokio::test]
    async fn what_answers_take_is_in_an_index() {
        let values = ["writer".to_owned().into(), 2.into(), 3.into()].to_vec();
        let plan = plan(TOO_MUCH, values).await;
        assert!(plan.contains("COVERING INDEX invocations_in_files (agent=?)"), "{plan}");
    }
}
