//! What people and scripts see: data on standard output, everything else on standard error.

pub(crate) mod amount;
pub(crate) mod bar;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod time;

use std::fmt::Display;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// What is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What deserves a look.
pub(crate) const NOTE: Style = AnsiColor::Yellow.on_default();
/// What is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What stands out.
pub(crate) const STRONG: Style = Style::new().bold();
/// What stays in the background.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Text in a style; without colours where there is no terminal.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes a line of data to standard output.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{text}")
}

/// Writes a value to standard output as JSON that people can read.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// Tells whoever runs the command something that is no data.
pub(crate) fn note(text: impl Display) {
    // Nobody can be told when standard error is gone.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Passes bytes on to standard output as they are, at once.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
