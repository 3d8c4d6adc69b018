//! Tasks as people read them.

use std::io;

use agentcore_protocol::Timestamp;

use crate::client::work::Task;
use crate::output::bar::describe;
use crate::output::table::{pairs, table};
use crate::output::time::{moment, relative, span};
use crate::output::{self, BAD, FAINT, GOOD, NOTE, STRONG, styled};

/// A line per task.
pub(super) fn list(tasks: &[Task], now: Timestamp) -> io::Result<()> {
    if tasks.is_empty() {
        output::note("There are no tasks on record. Agents that use an SDK of this project's have them.");
        return Ok(());
    }
    let rows = tasks.iter().map(|task| {
        [
            task.task_id.to_string(),
            task.name.clone(),
            status(task),
            task.progress.as_ref().map(describe).unwrap_or_default(),
            relative(task.started_at, now),
            span(task.ended_at.unwrap_or(now).since(task.started_at)),
            task.agent.clone(),
            task.session_id.clone(),
        ]
    });
    let head = ["TASK", "NAME", "STATUS", "PROGRESS", "STARTED", "RAN FOR", "AGENT", "SESSION"];
    output::line(table(head, rows))
}

/// All that is known of a task.
pub(super) fn page(task: &Task, now: Timestamp) -> String {
    let at = |time: Timestamp| format!("{} ({})", moment(time), relative(time, now));
    let mut facts = vec![
        ("Task", styled(STRONG, task.task_id)),
        ("Name", task.name.clone()),
        ("Status", status(task)),
        ("Agent", task.agent.clone()),
        ("Session", task.session_id.clone()),
        ("Incarnation", task.incarnation.clone()),
        ("Started", at(task.started_at)),
    ];
    facts.extend(task.ended_at.map(|ended| ("Ended", at(ended))));
    facts.extend(task.metadata.as_ref().map(|metadata| ("Metadata", metadata.to_string())));
    facts.extend(task.progress.as_ref().map(|progress| ("Progress", describe(progress))));
    facts.extend(task.result.as_ref().map(|result| ("Result", result.to_string())));
    facts.extend(task.error.as_ref().map(|error| ("Error", error.to_string())));
    facts.extend(why_lost(task).map(|why| ("Why", why)));
    pairs(facts)
}

/// Why its session ended, if it is lost.
pub(super) fn why_lost(task: &Task) -> Option<String> {
    let reason = task.reason.as_ref()?;
    let detail = reason.detail.as_deref().filter(|detail| !detail.is_empty());
    Some(detail.map_or_else(|| reason.kind.clone(), |detail| format!("{}: {detail}", reason.kind)))
}

fn status(task: &Task) -> String {
    let style = match task.status.as_str() {
        "running" => NOTE,
        "completed" => GOOD,
        "failed" | "lost" => BAD,
        _ => FAINT,
    };
    styled(style, &task.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_task_tells_why_its_session_ended() {
        let task: Task = serde_json::from_value(serde_json::json!({
            "task_id": 42, "name": "index", "status": "lost", "progress": {"done": 1, "total": 4},
            "started_at": 10_000, "updated_at": 10_000, "ended_at": 20_000, "agent": "a", "session_id": "s",
            "incarnation": "i", "reason": {"kind": "ProcessExited", "detail": "exited with code 1"},
        }))
        .unwrap();
        let page = page(&task, Timestamp::from_unix_millis(60_000));
        let page = anstream::adapter::strip_str(&page).to_string();
        assert!(page.contains("Why          ProcessExited: exited with code 1"), "{page}");
        assert!(page.contains("25% (1 of 4)") && page.contains("40 s ago"), "{page}");
    }
}
