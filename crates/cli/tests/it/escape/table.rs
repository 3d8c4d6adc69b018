//! What came of the attempts, for people.

use std::fmt::Write as _;

use super::{Outcome, docs};

/// After what the table is shown.
const BEGIN: &str = "<!-- the attacks on a host write from here -->\n";

/// The table of the docs must be what came of it here.
pub(super) fn compare_with_docs(columns: &[Vec<Outcome>]) {
    docs::must_show(BEGIN, &for_docs(columns));
}

fn for_docs(columns: &[Vec<Outcome>]) -> String {
    let mut table = "| attempt | `egress` as root | `egress` as a user | `host` as root | `host` as a user \
                     | what is to stop it |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for (row, outcome) in columns[0].iter().enumerate() {
        let results: Vec<&str> = columns.iter().map(|column| &*column[row].result).collect();
        let stopper = if outcome.wall == "API" { "network; with `host` the token" } else { &outcome.wall };
        let _ = writeln!(table, "| {} | {} | {stopper} |", outcome.attempt, results.join(" | "));
    }
    table
}
