//! Lists of invocations. The store may hold millions of them, so each list walks an index that is in
//! the order of the list.

use agentcore_protocol::SessionId;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::read::{COLUMNS, record};
use crate::invocations::{Filter, Record, State};
use crate::key::Principal;
use crate::store::StoreError;

pub(super) fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Record>, StoreError> {
    let (sql, values) = query(filter);
    let mut query = connection.prepare_cached(&sql)?;
    let rows = query.query_map(params_from_iter(values), record)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Only the conditions that there are, the one that lets least through first.
fn query(filter: &Filter) -> (String, Vec<Value>) {
    let text = |value: Option<&str>| value.map(|value| Value::from(value.to_owned()));
    let unusual = filter.state.filter(|state| *state != State::Completed);
    let usual = filter.state.filter(|state| *state == State::Completed);
    let possible = [
        ("session_id", text(filter.session.as_ref().map(SessionId::as_str))),
        ("state", unusual.map(|state| state.code().into())),
        ("agent", text(filter.agent.as_deref())),
        ("principal", text(filter.principal.as_ref().map(Principal::as_str))),
        ("state", usual.map(|state| state.code().into())),
    ];
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    for (column, value) in possible.into_iter().filter_map(|(column, value)| Some((column, value?))) {
        conditions.push(match (conditions.is_empty(), column) {
            // In the words of the index, which has only those.
            (true, "state") if unusual.is_some() => "state = ? AND state <> 2".to_owned(),
            // Nothing is known of how many have it: most have.
            (true, "state") => "+state = ?".to_owned(),
            (true, _) => format!("{column} = ?"),
            // The sign keeps SQLite from walking another index, which may be that of everything.
            (false, _) => format!("+{column} = ?"),
        });
        values.push(value);
    }
    if let Some(before) = filter.before {
        conditions.push("id < ?".to_owned());
        values.push(Value::Blob(before.uuid().as_bytes().to_vec()));
    }
    let conditions = if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") };
    values.push(filter.limit.into());
    (format!("SELECT {COLUMNS} FROM invocations WHERE {conditions} ORDER BY id DESC LIMIT ?"), values)
}

#[cfg(test)]
mod tests {
    use agentcore_protocol::InvocationId;
    use uuid::Uuid;

    use super::*;
    use crate::store::tests::plan;

    #[tokio::test]
    async fn each_list_walks_an_index_and_sorts_nothing() {
        let session = || Some(SessionId::from(Uuid::from_u128(1)));
        let agent = || Some("writer".to_owned());
        let principal = || Some(Principal::local());
        let before = || Some(InvocationId::try_from(Uuid::from_u128((7 << 76) | (8 << 60))).unwrap());
        for (wanted, filter) in [
            ("sqlite_autoindex_invocations_1", Filter::default()),
            ("by_session", Filter { session: session(), ..Filter::default() }),
            (
                "by_session",
                Filter {
                    session: session(),
                    agent: agent(),
                    principal: principal(),
                    state: Some(State::Failed),
                    ..Filter::default()
                },
            ),
            ("by_agent", Filter { agent: agent(), principal: principal(), ..Filter::default() }),
            ("by_agent", Filter { agent: agent(), state: Some(State::Completed), ..Filter::default() }),
            ("by_principal", Filter { principal: principal(), ..Filter::default() }),
            ("by_state", Filter { state: Some(State::Running), agent: agent(), ..Filter::default() }),
            ("sqlite_autoindex_invocations_1", Filter { state: Some(State::Completed), ..Filter::default() }),
        ] {
            for filter in [filter.clone(), Filter { before: before(), ..filter }] {
                let (sql, values) = query(&filter);
                let plan = plan(&sql, values).await;
                assert!(plan.contains(wanted), "{filter:?}: {plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
            }
        }
    }
}
