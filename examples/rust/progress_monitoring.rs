//! Pattern: progress monitoring. A task says how far it is, and whoever asks is told, also after
//! the task has ended.
//!
//! ```sh
//! cargo run -p agentcore-examples --bin progress_monitoring
//! curl http://localhost:8080/invocations -d '{"prompt": "start a background task"}'
//! curl http://localhost:8080/invocations -d '{"action": "get_progress"}'
//! curl http://localhost:8080/invocations -d '{"action": "get_progress", "task_id": <number>}'
//! ```

use std::time::Duration;

use bedrock_agentcore::{
    BedrockAgentCoreApp, HandlerError, ServeError, StatusCode, Task, TaskId, TaskRecord, Tasks,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

/// The payload.
#[derive(Deserialize)]
struct Payload {
    action: Option<String>,
    task_id: Option<TaskId>,
    /// How long to search, in seconds.
    #[serde(default = "one_minute")]
    duration: u64,
}

fn one_minute() -> u64 {
    60
}

#[derive(Clone, Copy, Default, Serialize)]
struct Progress {
    numbers_tried: u64,
    primes_found: u64,
    largest: u64,
}

/// No file per task, and none left behind: the SDK keeps what a task last said, bounded, and in
/// the task's journal where the host keeps one.
fn save_progress(task: &Task, progress: Progress) {
    task.report_progress(progress);
}

/// One task's record, or without an id every task's that is known, the running ones last.
fn get_progress(tasks: &Tasks, task_id: Option<TaskId>) -> Result<Vec<TaskRecord>, HandlerError> {
    let Some(id) = task_id else {
        let running = tasks.get_async_task_info().running_jobs.into_iter().map(|job| job.task_id);
        let running = running.filter_map(|id| tasks.get_async_task(id));
        return Ok(tasks.finished().into_iter().chain(running).collect());
    };
    let unknown = || HandlerError::new(StatusCode::NOT_FOUND, format!("no task {id} was started here"));
    Ok(vec![tasks.get_async_task(id).ok_or_else(unknown)?])
}

/// Looks for primes until its time is up, or someone cancels it.
fn search_primes(task: &Task, duration: Duration) -> Progress {
    let start = Instant::now();
    let mut progress = Progress::default();
    while start.elapsed() < duration && !task.is_cancelled() {
        for number in progress.numbers_tried..progress.numbers_tried + 10_000 {
            if is_prime(number) {
                progress.primes_found += 1;
                progress.largest = number;
            }
        }
        progress.numbers_tried += 10_000;
        save_progress(task, progress);
    }
    progress
}

fn is_prime(number: u64) -> bool {
    number > 1
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}

async fn handler(payload: Payload, tasks: Tasks) -> Result<Value, HandlerError> {
    if payload.action.as_deref() == Some("get_progress") {
        return Ok(json!({"tasks": get_progress(&tasks, payload.task_id)?}));
    }
    let duration = Duration::from_secs(payload.duration);
    // Computing keeps a thread busy, so it gets one of its own.
    let task = tasks.task("search_primes").spawn_blocking(move |task| search_primes(&task, duration));
    Ok(json!({"status": "started", "task_id": task.id()}))
}

fn main() -> Result<(), ServeError> {
    BedrockAgentCoreApp::new().entrypoint(handler).run()
}
