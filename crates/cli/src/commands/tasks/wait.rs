//! Waits for the end of a task.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use super::show::why_lost;
use crate::client::patience::persistently;
use crate::client::work::Task;
use crate::commands::verdict::Verdict;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::bar::TaskBar;
use crate::output::time::span;

/// How often, in seconds, progress is asked for; the end is told at once.
const LOOK: &str = "0.5";

/// Shows how far the task is, and prints its result in the end.
pub(super) async fn run(
    mut task: Task,
    timeout: Option<f64>,
    json: bool,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let patience = timeout.map(Duration::try_from_secs_f64).transpose();
    let patience = patience.map_err(|_| Failure::new("--timeout is a number of seconds, not less than 0"))?;
    let began = Instant::now();
    let mut bar = TaskBar::begin(&task.name);
    let path = task.path();
    loop {
        bar.show(task.progress.as_ref());
        if task.is_over() || patience.is_some_and(|patience| began.elapsed() >= patience) {
            break;
        }
        task = persistently(context, async |client| client.get(&path, &[("wait", Some(LOOK))]).await).await?;
    }
    drop(bar);
    if json {
        output::json(&task)?;
    } else if let Some(result) = &task.result {
        output::line(result)?;
    }
    Ok(end(&task))
}

fn end(task: &Task) -> ExitCode {
    let verdict = Verdict::of(&task.status);
    let Task { task_id, name, .. } = task;
    let failure = match (verdict, &task.error, why_lost(task)) {
        (Verdict::Completed, ..) => {
            let ran = task.ended_at.unwrap_or(task.updated_at).since(task.started_at);
            output::note(format_args!("{name} completed after {}", span(ran)));
            return verdict.code();
        }
        (Verdict::NotYet, ..) => Failure::new(format!("{name} is still running"))
            .hint(format!("go on waiting with `agentcore tasks wait {task_id}`")),
        (_, Some(error), _) => Failure::new(format!("{name} failed: {error}"))
            .hint("`agentcore logs` shows what the agent wrote"),
        (_, _, Some(why)) => Failure::new(format!("{name} was lost: its session ended: {why}"))
            .hint(format!("`agentcore sessions show {}` has the whole story", task.session_id)),
        _ => Failure::new(format!("{name} was {}", task.status)),
    };
    verdict.told(failure)
}
