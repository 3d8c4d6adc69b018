//! What came of the attempts, for people.

use std::fmt::Write as _;
use std::fs;

use super::Outcome;

/// Where the table is shown.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/SECURITY.md");
const BEGIN: &str = "<!-- the escape suite writes from here -->\n";
const END: &str = "<!-- to here -->\n";
const UPDATE: &str = "UPDATE_DOCS";

/// Everything, with the errors.
pub(super) fn in_full(who: &str, outcomes: &[Outcome]) -> String {
    let mut text = format!("as {who}:\n{:<62}| {:<9}| {:<14}| by\n", "attempt", "result", "wall");
    for Outcome { attempt, result, wall, by, .. } in outcomes.iter().filter(|it| it.without.is_none()) {
        let _ = writeln!(text, "{attempt:<62}| {result:<9}| {wall:<14}| {by}");
    }
    for without in outcomes.iter().filter(|it| it.escaped()).filter_map(|it| Some((it.without.as_ref()?, it)))
    {
        let (wall, it) = without;
        let _ = writeln!(text, "without {wall:<13} escapes: {} ({}, of {})", it.attempt, it.by, it.wall);
    }
    text
}

/// The table of the docs must be what came of it here. What stops an attempt in the end may depend
/// on the kernel, and is left out.
pub(super) fn compare_with_docs(root: &[Outcome], user: &[Outcome]) {
    let table = for_docs(root, user);
    let text = fs::read_to_string(DOCS).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(DOCS, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(shown == table, "docs/SECURITY.md shows another table: run this test with {UPDATE}=1\n{table}");
}

fn for_docs(root: &[Outcome], user: &[Outcome]) -> String {
    let mut table = "| attempt | as root | as a user | wall |\n|---|---|---|---|\n".to_owned();
    for outcome in root.iter().filter(|it| it.without.is_none()) {
        let of = |outcomes: &[Outcome]| {
            let same = |it: &&Outcome| it.without.is_none() && it.attempt == outcome.attempt;
            outcomes
                .iter()
                .find(same)
                .map_or("no limit without control groups".to_owned(), |it| it.result.clone())
        };
        let _ = writeln!(table, "| {} | {} | {} | {} |", outcome.attempt, of(root), of(user), outcome.wall);
    }
    table
}
