//! How much a host keeps of what came of work, as the command line says it.

use std::time::Duration;

use agentcore_runtime::{Retention, days};

/// How much is kept.
#[derive(Debug, clap::Args)]
pub(super) struct RetentionArgs {
    /// Keep so many durable invocations of each agent, with their answers [default: 10000]
    #[arg(long, value_name = "N")]
    keep_invocations: Option<u32>,
    /// Keep so many tasks of each agent, of sessions that have ended [default: 10000]
    #[arg(long, value_name = "N")]
    keep_tasks: Option<u32>,
    /// Keep both for so many days after their end; fractions are allowed [default: 7]
    #[arg(long, value_name = "DAYS", value_parser = length)]
    keep_days: Option<Duration>,
}

impl RetentionArgs {
    /// What is said here goes before what the options say.
    pub(super) fn apply(&self, retention: &mut Retention) {
        retention.invocations_per_agent = self.keep_invocations.unwrap_or(retention.invocations_per_agent);
        retention.tasks_per_agent = self.keep_tasks.unwrap_or(retention.tasks_per_agent);
        retention.invocation_age = self.keep_days.unwrap_or(retention.invocation_age);
        retention.task_age = self.keep_days.unwrap_or(retention.task_age);
    }
}

fn length(text: &str) -> Result<Duration, String> {
    let number: Option<f64> = text.parse().ok();
    number.and_then(days).ok_or_else(|| "name a number of days, such as 30 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        retention: RetentionArgs,
    }

    #[test]
    fn what_is_said_goes_before_what_is_configured() {
        let line = Line::try_parse_from(["x", "--keep-invocations", "5", "--keep-days", "0.5"]).unwrap();
        let configured = Retention { tasks_per_agent: 3, ..Retention::default() };
        let mut retention = configured;
        line.retention.apply(&mut retention);
        let half = Duration::from_secs(12 * 60 * 60);
        let wanted =
            Retention { invocations_per_agent: 5, invocation_age: half, task_age: half, ..configured };
        assert_eq!(retention, wanted);
    }

    #[test]
    fn what_is_no_number_of_days_is_refused() {
        for text in ["week", "-1", "NaN", "1e300"] {
            assert!(length(text).is_err(), "{text}");
        }
    }
}
