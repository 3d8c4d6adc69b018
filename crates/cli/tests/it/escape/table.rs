//! What came of the attempts, for people.

use std::fmt::Write as _;
use std::fs;

use super::Outcome;

/// Where the table is shown.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/SECURITY.md");
const BEGIN: &str = "<!-- the attacks on a host write from here -->\n";
const END: &str = "<!-- to here -->\n";
const UPDATE: &str = "UPDATE_DOCS";

/// The table of the docs must be what came of it here.
pub(super) fn compare_with_docs(columns: &[Vec<Outcome>]) {
    let table = for_docs(columns);
    let text = fs::read_to_string(DOCS).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(DOCS, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(shown == table, "docs/SECURITY.md shows another table: run this test with {UPDATE}=1\n{table}");
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
