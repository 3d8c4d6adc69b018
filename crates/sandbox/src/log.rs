//! The log of a sandbox: what the agent wrote, bounded, in two files that take turns.

/// The end of `log`, at most `max_bytes` of it, from the beginning of a line. A single line that is
/// longer than that is cut.
pub(crate) fn whole_lines(log: &[u8], max_bytes: usize) -> &[u8] {
    if log.len() <= max_bytes {
        return log;
    }
    let start = log.len() - max_bytes;
    if log[start - 1] == b'\n' {
        return &log[start..];
    }
    match log[start..].iter().position(|byte| *byte == b'\n') {
        Some(line_feed) if start + line_feed + 1 < log.len() => &log[start + line_feed + 1..],
        _ => &log[start..],
    }
}

#[cfg(test)]
mod tests {
    use super::whole_lines;

    #[test]
    fn a_tail_begins_at_a_line() {
        assert_eq!(whole_lines(b"one\ntwo\nthree\n", 100), b"one\ntwo\nthree\n");
        assert_eq!(whole_lines(b"one\ntwo\nthree\n", 8), b"three\n");
        assert_eq!(whole_lines(b"one\ntwo\nthree\n", 6), b"three\n");
        assert_eq!(whole_lines(b"one\ntwo\nthree\n", 0), b"");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut() {
        assert_eq!(whole_lines(b"abcdefgh\n", 4), b"fgh\n");
        assert_eq!(whole_lines(b"abcdefgh", 4), b"efgh");
    }
}
