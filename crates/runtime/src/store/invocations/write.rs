//! What happens to invocations. Each is one statement, and so happens as a whole or not at all.

use agentcore_protocol::{IncarnationId, InvocationId, Timestamp};
use rusqlite::{Connection, params};

use super::to_bytes;
use crate::invocations::{End, Head, NewInvocation, Payload, State};
use crate::store::StoreError;
use crate::store::write::millis;

pub(in crate::store) fn accept(connection: &Connection, new: &NewInvocation) -> Result<(), StoreError> {
    let body = match &new.request.payload {
        Payload::Held(bytes) => Some(&**bytes),
        Payload::InFile => None,
    };
    let state = if new.started { State::Running } else { State::Accepted };
    connection
        .prepare_cached(
            "INSERT INTO invocations
                 (id, principal, agent, session_id, incarnation, state, accepted_at, started_at, key,
                  request_hash, request_headers, request_body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            new.id.uuid().as_bytes(),
            new.key.principal.as_str(),
            &*new.key.agent,
            new.key.session.as_str(),
            new.incarnation.uuid().as_bytes(),
            state.code(),
            millis(new.accepted_at),
            new.started.then(|| millis(new.accepted_at)),
            new.idempotency.as_ref().map(|idempotency| &idempotency.key),
            new.idempotency.as_ref().map(|idempotency| idempotency.request),
            // What an agent has is not sent again.
            (!new.started).then(|| to_bytes(&new.request.headers)),
            body.filter(|_| !new.started),
        ])?;
    Ok(())
}

pub(in crate::store) fn start(
    connection: &Connection,
    id: InvocationId,
    incarnation: IncarnationId,
    at: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE invocations
             SET state = ?2, incarnation = ?3, started_at = ?4, request_headers = NULL, request_body = NULL
             WHERE id = ?1",
        )?
        .execute(params![
            id.uuid().as_bytes(),
            State::Running.code(),
            incarnation.uuid().as_bytes(),
            millis(at)
        ])?;
    Ok(())
}

pub(in crate::store) fn answering(
    connection: &Connection,
    id: InvocationId,
    head: &Head,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE invocations SET answer_status = ?2, answer_headers = ?3 WHERE id = ?1")?
        .execute(params![id.uuid().as_bytes(), head.status, to_bytes(&head.headers)])?;
    Ok(())
}

pub(in crate::store) fn end(connection: &Connection, id: InvocationId, end: &End) -> Result<(), StoreError> {
    let answer = end.answer.as_ref();
    connection
        .prepare_cached(
            "UPDATE invocations
             SET state = ?2, ended_at = ?3, reason = ?4, answer_status = ?5, answer_headers = ?6,
                 answer_bytes = ?7, answer_complete = ?8, answer_body = ?9, request_headers = NULL,
                 request_body = NULL
             WHERE id = ?1",
        )?
        .execute(params![
            id.uuid().as_bytes(),
            end.state.code(),
            millis(end.at),
            end.reason,
            answer.map(|answer| answer.head.status),
            answer.map(|answer| to_bytes(&answer.head.headers)),
            answer.map(|answer| answer.bytes as i64),
            answer.map(|answer| answer.complete),
            answer.and_then(|answer| answer.body.as_deref()),
        ])?;
    Ok(())
}

/// Everything that ran is interrupted.
pub(in crate::store) fn interrupt_all(
    connection: &Connection,
    at: Timestamp,
    reason: &str,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            // The second condition is that of the index.
            "UPDATE invocations SET state = ?1, ended_at = ?2, reason = ?3 WHERE state = ?4 AND state <> 2",
        )?
        .execute(params![State::Interrupted.code(), millis(at), reason, State::Running.code()])?;
    Ok(())
}

pub(in crate::store) fn forget(connection: &Connection, ids: &[InvocationId]) -> Result<(), StoreError> {
    let mut delete = connection.prepare_cached("DELETE FROM invocations WHERE id = ?1")?;
    for id in ids {
        delete.execute([id.uuid().as_bytes()])?;
    }
    Ok(())
}
