//! Tables without frames, as `ps` and `docker ps` print them.

use comfy_table::{ContentArrangement, Table, presets};

/// A table with a head.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    // Whether there are colours is decided where the text is written.
    table.force_no_tty();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Lines of `name  value`, the values in one column.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = pairs.iter().map(|(name, value)| format!("{name:width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_their_text_does() {
        let text = table(["A", "LONG"], [["aaa".into(), "x".into()], ["b".into(), String::new()]]);
        assert_eq!(text, "A    LONG\naaa  x\nb");
        let styled = crate::output::styled(crate::output::GOOD, "active");
        let coloured = table(["STATE", "X"], [[styled, "1".into()], ["idle".into(), "2".into()]]);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), "STATE   X\nactive  1\nidle    2");
        assert_eq!(pairs([("a", "1".to_owned()), ("long", "2".to_owned())]), "a     1\nlong  2");
    }
}
