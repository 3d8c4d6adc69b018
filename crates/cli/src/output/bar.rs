//! How far a task is: a bar on a terminal, a line for each change elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::note;

/// How fine the bar is.
const STEPS: f64 = 1_000.0;
const TICK: Duration = Duration::from_millis(100);
/// Most characters of a progress that only its agent understands.
const LONGEST: usize = 80;

/// Shows, on standard error, how far a task is, until it is dropped.
pub(crate) struct TaskBar {
    /// On a terminal.
    bar: Option<ProgressBar>,
    name: String,
    said: Option<String>,
}

impl TaskBar {
    /// Begins to show the task of that name.
    pub(crate) fn begin(name: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(STEPS as u64).with_message(name.to_owned());
            bar.set_style(style("{spinner} {msg} ({elapsed})"));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, name: name.to_owned(), said: None }
    }

    /// Shows what the task has reported last.
    pub(crate) fn show(&mut self, progress: Option<&Value>) {
        let Some(progress) = progress else { return };
        let text = describe(progress);
        if self.said.as_ref() == Some(&text) {
            return;
        }
        match (&self.bar, fraction(progress)) {
            (Some(bar), Some(done)) => {
                bar.set_style(style("{spinner} {msg} [{bar:32}] ({elapsed})"));
                bar.set_position((done * STEPS) as u64);
                bar.set_message(format!("{} {text}", self.name));
            }
            (Some(bar), None) => bar.set_message(format!("{} {text}", self.name)),
            (None, _) => note(format_args!("{}: {text}", self.name)),
        }
        self.said = Some(text);
    }
}

impl Drop for TaskBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How far that is, from 0 to 1: a number of this range, `{"done": 3, "total": 6}`,
/// `{"current": 3, "total": 6}`, `{"bytes_done": 3, "bytes_total": 6}`, `{"done": 0.5}` or
/// `{"percent": 50}`. `None`: only the agent knows.
fn fraction(progress: &Value) -> Option<f64> {
    let number = |name: &str| progress.get(name).and_then(Value::as_f64);
    let count = count(progress).and_then(|(done, total)| Some((done.as_f64()?, total.as_f64()?)));
    let alone = || number("done").or_else(|| number("current")).filter(|_| progress.get("total").is_none());
    let fraction = match (count, number("percent")) {
        (Some((done, total)), _) if total > 0.0 => done / total,
        (_, Some(percent)) => percent / 100.0,
        _ => alone().or_else(|| progress.as_f64())?,
    };
    (0.0..=1.0).contains(&fraction).then_some(fraction)
}

/// How many of how many: `done` or `current` of `total`, or the first `X_done` of an `X_total`.
fn count(progress: &Value) -> Option<(&Value, &Value)> {
    let fields = progress.as_object()?;
    let plain = || fields.get("done").or_else(|| fields.get("current")).zip(fields.get("total"));
    let named = || {
        fields.iter().find_map(|(name, done)| {
            Some((done, fields.get(&format!("{}_total", name.strip_suffix("_done")?))?))
        })
    };
    plain().or_else(named)
}

/// A progress as people read it.
pub(crate) fn describe(progress: &Value) -> String {
    let percent = fraction(progress).map(|fraction| format!("{:.0}%", fraction * 100.0));
    match (percent, count(progress)) {
        (Some(percent), Some((done, total))) => format!("{percent} ({done} of {total})"),
        (Some(percent), None) => percent,
        (None, _) => progress.to_string().chars().take(LONGEST).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn progress_is_understood_in_the_usual_forms_and_shown_as_it_is_otherwise() {
        for (progress, text) in [
            (json!(0.5), "50%"),
            (json!(1), "100%"),
            (json!({"done": 0.25}), "25%"),
            (json!({"done": 3, "total": 6}), "50% (3 of 6)"),
            (json!({"current": 1, "total": 3}), "33% (1 of 3)"),
            (json!({"bytes_done": 512, "bytes_total": 2048, "file": "a"}), "25% (512 of 2048)"),
            (json!({"pages_done": 1, "total": 2}), r#"{"pages_done":1,"total":2}"#),
            (json!({"percent": 12.4, "step": "x"}), "12%"),
            (json!(17), "17"),
            (json!({"done": 7, "total": 6}), r#"{"done":7,"total":6}"#),
            (json!({"done": 0, "total": 0}), r#"{"done":0,"total":0}"#),
            (json!("reading"), "\"reading\""),
            (json!(null), "null"),
        ] {
            assert_eq!(describe(&progress), text);
        }
        assert_eq!(describe(&json!("x".repeat(500))).len(), LONGEST);
    }
}
