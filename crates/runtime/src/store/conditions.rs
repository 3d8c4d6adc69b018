//! Which rows a list takes, so that it walks the index that is in its order.

use rusqlite::types::Value;

/// What all rows of a list have. The condition that lets least through comes first: the index for it
/// is the one to walk.
#[derive(Default)]
pub(super) struct Conditions {
    clauses: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// A column's value, where one is wanted.
    pub(super) fn equal(&mut self, column: &str, value: Option<impl Into<Value>>) {
        let Some(value) = value else { return };
        // The sign keeps SQLite from walking another index, which may be that of everything.
        let sign = if self.is_empty() { "" } else { "+" };
        self.add(format!("{sign}{column} = ?"), [value.into()]);
    }

    /// The same for text.
    pub(super) fn text(&mut self, column: &str, value: Option<&str>) {
        self.equal(column, value.map(str::to_owned));
    }

    /// Any other condition.
    pub(super) fn add(&mut self, clause: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.clauses.push(clause.into());
        self.values.extend(values);
    }

    /// Whether there is none so far.
    pub(super) fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// As they stand after WHERE, and their values.
    pub(super) fn into_sql(self) -> (String, Vec<Value>) {
        let sql = if self.is_empty() { "TRUE".to_owned() } else { self.clauses.join(" AND ") };
        (sql, self.values)
    }
}
