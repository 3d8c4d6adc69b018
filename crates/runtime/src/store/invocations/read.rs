//! What can be read of invocations.

use std::collections::HashSet;
use std::sync::Arc;

use agentcore_protocol::{IncarnationId, InvocationId};
use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use super::{from_bytes, list};
use crate::invocations::{Answer, Filter, Head, Payload, Record, Request, State};
use crate::key::{Principal, SessionKey};
use crate::store::read::{malformed, parsed, timestamp};
use crate::store::{Store, StoreError};

/// All but the answer's body, which may be large.
pub(super) const COLUMNS: &str = "id, principal, agent, session_id, incarnation, state, accepted_at, started_at, \
                       ended_at, reason, request_hash, answer_status, answer_headers, answer_bytes, \
                       answer_complete";

// The second condition is that of the index, which SQLite does not conclude from the first.
const ACCEPTED: &str = "WHERE state = 0 AND state <> 2 AND id > ?1 ORDER BY id LIMIT ?2";
const ANSWERING: &str = "
    SELECT id, answer_status, answer_headers FROM invocations
    WHERE state = 1 AND state <> 2 AND answer_status IS NOT NULL";
// In the words of the index.
const OF_SDKS: &str = "SELECT 1 FROM invocations WHERE substr(key, 1, 4) = 'sdk '";

impl Store {
    /// One invocation.
    pub(crate) async fn invocation(&self, id: InvocationId) -> Result<Option<Record>, StoreError> {
        self.read(move |connection| {
            let mut query = connection
                .prepare_cached(&format!("SELECT {COLUMNS}, answer_body FROM invocations WHERE id = ?1"))?;
            Ok(query.query_row([id.uuid().as_bytes()], whole).optional()?)
        })
        .await
    }

    /// The invocation that came with this key.
    pub(crate) async fn invocation_of(
        &self,
        principal: Principal,
        agent: String,
        key: String,
    ) -> Result<Option<Record>, StoreError> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS}, answer_body FROM invocations
                 WHERE principal = ?1 AND agent = ?2 AND key = ?3"
            ))?;
            Ok(query.query_row(params![principal.as_str(), agent, key], whole).optional()?)
        })
        .await
    }

    /// Whether there is an invocation whose key an SDK has made.
    pub(crate) async fn has_sdk_keys(&self) -> Result<bool, StoreError> {
        self.read(|connection| Ok(connection.prepare(OF_SDKS)?.exists([])?)).await
    }

    /// The invocations that `filter` lets through, newest first, without the bodies of their answers.
    pub(crate) async fn invocations(&self, filter: Filter) -> Result<Vec<Record>, StoreError> {
        self.read(move |connection| list::list(connection, &filter)).await
    }

    /// What was accepted and has not been started, the oldest first, behind `after`.
    pub(crate) async fn accepted_invocations(
        &self,
        after: Option<InvocationId>,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let after = after.map_or(Uuid::nil(), InvocationId::uuid);
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM invocations {ACCEPTED}");
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params![after.as_bytes(), limit], record)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// What the agent is to get of an invocation that has not been started.
    pub(crate) async fn accepted_request(&self, id: InvocationId) -> Result<Request, StoreError> {
        self.read(move |connection| {
            let mut query = connection
                .prepare_cached("SELECT request_headers, request_body FROM invocations WHERE id = ?1")?;
            Ok(query.query_row([id.uuid().as_bytes()], request)?)
        })
        .await
    }

    /// What was being answered into a file, and has not ended.
    pub(crate) async fn answering_invocations(&self) -> Result<Vec<(InvocationId, Head)>, StoreError> {
        self.read(|connection| {
            let mut query = connection.prepare_cached(ANSWERING)?;
            let rows = query.query_map([], |row| {
                let headers = from_bytes(&row.get::<_, Vec<u8>>(2)?);
                Ok((invocation_id(row, 0)?, Head { status: row.get(1)?, headers }))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Which of those are on record.
    pub(crate) async fn known_invocations(
        &self,
        ids: Vec<InvocationId>,
    ) -> Result<HashSet<InvocationId>, StoreError> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached("SELECT 1 FROM invocations WHERE id = ?1")?;
            let mut known = HashSet::new();
            for id in ids {
                if query.exists([id.uuid().as_bytes()])? {
                    known.insert(id);
                }
            }
            Ok(known)
        })
        .await
    }
}

fn whole(row: &Row<'_>) -> rusqlite::Result<Record> {
    let mut record = record(row)?;
    if let Some(answer) = &mut record.answer {
        answer.body = row.get::<_, Option<Vec<u8>>>(15)?.map(Bytes::from);
    }
    Ok(record)
}

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let moment = |index| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(index)?.map(timestamp));
    let state = row.get(5)?;
    Ok(Record {
        id: invocation_id(row, 0)?,
        key: session_key(row)?,
        incarnation: incarnation_id(row, 4)?,
        state: State::of_code(state).ok_or_else(|| malformed(5, format!("unknown state {state}")))?,
        accepted_at: timestamp(row.get(6)?),
        started_at: moment(7)?,
        ended_at: moment(8)?,
        reason: row.get(9)?,
        request_hash: row.get(10)?,
        answer: answer(row)?,
    })
}

fn answer(row: &Row<'_>) -> rusqlite::Result<Option<Answer>> {
    let Some(status) = row.get::<_, Option<u16>>(11)? else { return Ok(None) };
    let headers = from_bytes(&row.get::<_, Vec<u8>>(12)?);
    Ok(Some(Answer {
        head: Arc::new(Head { status, headers }),
        bytes: row.get::<_, Option<i64>>(13)?.unwrap_or_default().max(0) as u64,
        complete: row.get::<_, Option<bool>>(14)?.unwrap_or_default(),
        body: None,
    }))
}

fn request(row: &Row<'_>) -> rusqlite::Result<Request> {
    let headers = from_bytes(&row.get::<_, Option<Vec<u8>>>(0)?.unwrap_or_default());
    let payload = match row.get::<_, Option<Vec<u8>>>(1)? {
        Some(bytes) => Payload::Held(bytes.into()),
        None => Payload::InFile,
    };
    Ok(Request { headers, payload })
}

fn session_key(row: &Row<'_>) -> rusqlite::Result<SessionKey> {
    Ok(SessionKey {
        principal: Principal::named(&row.get::<_, String>(1)?),
        agent: row.get::<_, String>(2)?.into(),
        session: parsed(row, 3)?,
    })
}

pub(super) fn invocation_id(row: &Row<'_>, index: usize) -> rusqlite::Result<InvocationId> {
    InvocationId::try_from(Uuid::from_bytes(row.get(index)?)).map_err(|error| not_an_id(index, error))
}

fn incarnation_id(row: &Row<'_>, index: usize) -> rusqlite::Result<IncarnationId> {
    IncarnationId::try_from(Uuid::from_bytes(row.get(index)?)).map_err(|error| not_an_id(index, error))
}

fn not_an_id(index: usize, error: impl ToString) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Blob, error.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::plan;

    #[tokio::test]
    async fn a_start_looks_only_at_what_has_not_ended() {
        let accepted = format!("SELECT {COLUMNS} FROM invocations {ACCEPTED}");
        let page = vec![vec![0; 16].into(), 9.into()];
        for (sql, values) in [(&*accepted, page), (ANSWERING, Vec::new())] {
            let plan = plan(sql, values).await;
            assert!(plan.contains("invocations_by_state (state=?"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
        let of_sdks = plan(OF_SDKS, Vec::new()).await;
        assert!(of_sdks.contains("invocations_of_sdks"), "{of_sdks}");
    }
}
