//! The agents of which something is on record.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{Store, StoreError};

impl Store {
    /// The agents that have invocations or tasks on record, whether they are registered or not.
    pub(crate) async fn agents_on_record(&self) -> Result<BTreeSet<String>, StoreError> {
        self.read(|connection| {
            let mut agents = of_table(connection, "invocations")?;
            agents.extend(of_table(connection, "tasks")?);
            Ok(agents.into_iter().collect())
        })
        .await
    }
}

/// The agents in a table, found by jumping from one to the next in its index.
pub(super) fn of_table(connection: &Connection, table: &'static str) -> Result<Vec<String>, StoreError> {
    let mut next = connection.prepare_cached(&next(table))?;
    let mut agents = Vec::new();
    let mut last = String::new();
    while let Some(agent) = next.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
        last.clone_from(&agent);
        agents.push(agent);
    }
    Ok(agents)
}

fn next(table: &str) -> String {
    format!("SELECT min(agent) FROM {table} WHERE agent > ?1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::plan;

    #[tokio::test]
    async fn each_jump_is_one_look_into_an_index() {
        for (table, index) in [("invocations", "invocations_by_agent"), ("tasks", "tasks_by_agent")] {
            let plan = plan(&next(table), vec!["writer".to_owned().into()]).await;
            let line = plan.lines().next().unwrap();
            assert!(line.contains("SEARCH") && line.contains("(agent>?)"), "{index}: {plan}");
        }
    }
}
