//! Lists of invocations. The store may hold millions of them, so each list walks an index that is in
//! the order of the list.

use agentcore_protocol::SessionId;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::read::{COLUMNS, record};
use crate::invocations::{Filter, Record, State};
use crate::key::Principal;
use crate::store::StoreError;
use crate::store::conditions::Conditions;

pub(super) fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Record>, StoreError> {
    let (sql, values) = query(filter);
    let mut query = connection.prepare_cached(&sql)?;
    let rows = query.query_map(params_from_iter(values), record)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn query(filter: &Filter) -> (String, Vec<Value>) {
    let mut conditions = Conditions::default();
    conditions.text("session_id", filter.session.as_ref().map(SessionId::as_str));
    match filter.state.filter(|state| *state != State::Completed) {
        // In the words of the index, which has only those.
        Some(state) if conditions.is_empty() => {
            conditions.add("state = ? AND state <> 2", [state.code().into()]);
        }
        unusual => conditions.equal("state", unusual.map(State::code)),
    }
    conditions.text("agent", filter.agent.as_deref());
    conditions.text("principal", filter.principal.as_ref().map(Principal::as_str));
    if filter.state == Some(State::Completed) {
        // Nothing is known of how many have it: most have.
        conditions.add("+state = ?", [State::Completed.code().into()]);
    }
    if let Some(before) = filter.before {
        conditions.add("id < ?", [Value::Blob(before.uuid().as_bytes().to_vec())]);
    }
    let (conditions, mut values) = conditions.into_sql();
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
