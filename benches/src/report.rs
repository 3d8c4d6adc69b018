//! What was measured, as Markdown: on the screen and in docs/benchmarks.md.

use std::path::Path;

use anyhow::{Context, bail};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// What must be reached, and whether it was.
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) wanted: &'static str,
    pub(crate) got: String,
    pub(crate) reached: bool,
}

/// One part of the report.
#[derive(Default)]
pub(crate) struct Section {
    pub(crate) text: String,
    pub(crate) targets: Vec<Target>,
}

impl Section {
    pub(crate) fn titled(title: &str) -> Self {
        Self { text: format!("\n### {title}\n"), targets: Vec::new() }
    }

    pub(crate) fn paragraph(&mut self, text: &str) {
        self.text.push_str(&format!("\n{text}\n"));
    }

    pub(crate) fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) {
        self.paragraph(&table(head, rows));
    }
}

fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// The table of targets.
pub(crate) fn targets(targets: &[Target]) -> String {
    let rows = targets.iter().map(|target| {
        let reached = if target.reached { "yes" } else { "no" };
        vec![target.what.clone(), target.wanted.to_owned(), target.got.clone(), reached.to_owned()]
    });
    table(&["must reach", "wanted", "measured", "reached"], rows.collect())
}

/// Replaces what stands between the markers of `section`, or adds it at the end.
pub(crate) fn write(file: &Path, section: &str, text: &str) -> anyhow::Result<()> {
    let old = match std::fs::read_to_string(file) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
    };
    let new = replace(&old, section, text)?;
    std::fs::write(file, new).with_context(|| format!("{} cannot be written", file.display()))
}

const HEAD: &str = "# Benchmarks\n\n\
    Written by `make bench`. Everything in a section was measured in one run on one machine, side by side; compare\n\
    the ratios, for the figures themselves are that machine's.\n";

fn replace(old: &str, section: &str, text: &str) -> anyhow::Result<String> {
    let (begin, end) = (format!("<!-- {section}:begin -->"), format!("<!-- {section}:end -->"));
    let new = format!("{begin}\n{}\n{end}", text.trim());
    match (old.find(&begin), old.find(&end)) {
        (Some(from), Some(to)) if from < to => Ok(format!("{}{new}{}", &old[..from], &old[to + end.len()..])),
        (None, None) => Ok(format!("{}\n\n{new}\n", old.trim_end())),
        _ => bail!("the markers {begin} and {end} do not match: remove both, and they are added anew"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_added_then_replaced_and_its_neighbours_stay() {
        let once = replace("# Head\n", "sdk", "old").unwrap();
        assert_eq!(once, "# Head\n\n<!-- sdk:begin -->\nold\n<!-- sdk:end -->\n");
        let both = replace(&once, "host", "other").unwrap();
        let new = replace(&both, "sdk", "new").unwrap();
        assert_eq!(new, both.replace("old", "new"));
        assert!(replace("<!-- sdk:begin -->", "sdk", "text").is_err());
    }
}
