//! Which invocations are past their time, or too many.

use agentcore_protocol::{InvocationId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::read::invocation_id;
use crate::store::write::millis;
use crate::store::{Store, StoreError, agents};

/// What has ended, the oldest first: walked only as far as something is to go.
const OLDEST: &str = "
    SELECT id, ifnull(answer_bytes, 0) FROM invocations INDEXED BY invocations_by_agent
    WHERE agent = ?1 AND +state > 1 ORDER BY id";

/// What ended too long ago. What was accepted later has not ended before.
const TOO_OLD: &str = "
    SELECT id FROM invocations INDEXED BY invocations_by_agent
    WHERE agent = ?1 AND +state > 1 AND id < ?2 AND ended_at < ?3 ORDER BY id LIMIT ?4";

/// What is kept of one agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// The newest, so many.
    pub(crate) most: u32,
    /// Of those, what ended since.
    pub(crate) ended_after: Timestamp,
    /// Of those, the newest whose answers take so many bytes.
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
    let mut query = connection.prepare_cached(TOO_OLD)?;
    let (accepted_after, ended_after) = (first_id_at(kept.ended_after), millis(kept.ended_after));
    let rows = query.query_map(params![agent, accepted_after.as_bytes(), ended_after, limit], |row| {
        invocation_id(row, 0)
    })?;
    let too_old = rows.collect::<Result<Vec<_>, _>>()?;
    // What is too much may be the same: it is looked at once that is gone.
    if too_old.is_empty() { too_much_of(connection, agent, kept, limit) } else { Ok(too_old) }
}

/// The oldest, until no more are left than may be, nor more bytes of answers.
fn too_much_of(
    connection: &Connection,
    agent: &str,
    kept: Kept,
    limit: u32,
) -> Result<Vec<InvocationId>, StoreError> {
    let totals = connection
        .prepare_cached("SELECT ended, bytes FROM invocation_totals WHERE agent = ?1")?
        .query_row([agent], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let (ended, bytes) = totals.unwrap_or_default();
    let mut surplus = ended - i64::from(kept.most);
    let mut surplus_bytes = bytes.saturating_sub_unsigned(kept.bytes);
    let mut query = connection.prepare_cached(OLDEST)?;
    let mut rows = query.query([agent])?;
    let mut too_much = Vec::new();
    while (surplus > 0 || surplus_bytes > 0)
        && too_much.len() < limit as usize
        && let Some(row) = rows.next()?
    {
        let bytes: i64 = row.get(1)?;
        // One without an answer makes no room.
        if surplus > 0 || bytes > 0 {
            too_much.push(invocation_id(row, 0)?);
            surplus -= 1;
            surplus_bytes -= bytes;
        }
    }
    Ok(too_much)
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
        let agent = || rusqlite::types::Value::from("writer".to_owned());
        let old = plan(TOO_OLD, vec![agent(), 2.into(), 3.into(), 4.into()]).await;
        assert_eq!(old, "SEARCH invocations USING INDEX invocations_by_agent (agent=? AND id<?)");
        // It is left where nothing more is too much.
        let oldest = plan(OLDEST, vec![agent()]).await;
        assert_eq!(oldest, "SEARCH invocations USING INDEX invocations_by_agent (agent=?)");
    }

    #[tokio::test]
    async fn what_ended_with_an_earlier_host_is_counted_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db");
        let old = Connection::open(&file).unwrap();
        for migration in [
            include_str!("../migrations/1_sessions.sql"),
            include_str!("../migrations/2_runtimes.sql"),
            include_str!("../migrations/3_invocations.sql"),
            include_str!("../migrations/4_tasks.sql"),
            include_str!("../migrations/5_answers.sql"),
        ] {
            old.execute_batch(migration).unwrap();
        }
        old.pragma_update(None, "user_version", 5).unwrap();
        let id =
            |number: u128| InvocationId::try_from(Uuid::from_u128((7 << 76) | (8 << 60) | number)).unwrap();
        for (number, state, ended_at) in [(1, 2, Some(9)), (2, 3, Some(9)), (3, 1, None), (4, 2, Some(9))] {
            let sql =
                "INSERT INTO invocations (id, principal, agent, session_id, incarnation, state, accepted_at,
                       ended_at, answer_bytes) VALUES (?1, 'p', 'writer', 's', x'00', ?2, 1, ?3, 100)";
            old.execute(sql, params![id(number).uuid().as_bytes(), state, ended_at]).unwrap();
        }
        drop(old);
        let store = Store::open(&file).await.unwrap();
        let expired = async |most, bytes| {
            let kept = Kept { most, ended_after: Timestamp::from_unix_millis(0), bytes };
            store.expired_invocations(move |_| kept, 9).await.unwrap()
        };
        assert_eq!(expired(3, 300).await, []);
        assert_eq!(expired(1, 300).await, [id(1), id(2)]);
        assert_eq!(expired(3, 100).await, [id(1), id(2)]);
        store.write(crate::store::Write::Forget(vec![id(2)])).await.unwrap();
        assert_eq!(expired(1, 300).await, [id(1)]);
        let end = crate::invocations::End {
            state: crate::invocations::State::Interrupted,
            at: Timestamp::from_unix_millis(10),
            reason: None,
            answer: None,
        };
        store.write(crate::store::Write::End { id: id(3), end: Box::new(end) }).await.unwrap();
        assert_eq!(expired(2, 300).await, [id(1)]);
    }
}
