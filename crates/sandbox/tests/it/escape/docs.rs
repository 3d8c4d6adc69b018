//! A table of docs/SECURITY.md that a test makes. The command line's suite writes one there, too.

use std::fs;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/SECURITY.md");
const END: &str = "<!-- to here -->\n";
const UPDATE: &str = "UPDATE_DOCS";

/// The table after the line `begin` must be this one; with `UPDATE_DOCS` it becomes it.
pub(super) fn must_show(begin: &str, table: &str) {
    let text = fs::read_to_string(DOCS).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(DOCS, format!("{before}{begin}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(shown == table, "docs/SECURITY.md shows another table: run this test with {UPDATE}=1\n{table}");
}
