//! A sign of life for what takes longer than a second.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

/// How long nothing is shown: a sign that flashes by is worse than none.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the sign turns.
const TICK: Duration = Duration::from_millis(100);

/// Shows, on standard error and only on a terminal, that something goes on, until it is dropped.
pub(crate) struct Waiting {
    bar: ProgressBar,
    starter: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Begins to wait; the sign comes after a second.
    pub(crate) fn for_what(message: impl Into<String>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), starter: None };
        }
        let bar = ProgressBar::new_spinner().with_message(message.into());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        let shown = bar.clone();
        let starter = tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            shown.enable_steady_tick(TICK);
        });
        Self { bar, starter: Some(starter) }
    }

    /// Says something else from now on.
    pub(crate) fn tell(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(starter) = &self.starter {
            starter.abort();
        }
        self.bar.finish_and_clear();
    }
}
