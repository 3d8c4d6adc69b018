//! What came of the attempts, for people.

use std::fmt::Write as _;

use super::{Outcome, docs};

/// After what the table is shown.
const BEGIN: &str = "<!-- the escape suite writes from here -->\n";

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
    docs::must_show(BEGIN, &for_docs(root, user));
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
