//! Pattern: long-running processing. The caller is answered at once; the work goes on for half an
//! hour, its result can be read afterwards.
//!
//! ```sh
//! cargo run -p agentcore-examples --bin long_running_processing
//! curl http://localhost:8080/invocations -d '{"dataset_size": "small", "duration": 20}'
//! curl http://localhost:8080/ping                                                      # HealthyBusy
//! curl http://localhost:8080/invocations -d '{"task_id": <the number from above>}'
//! ```

use std::time::Duration;

use bedrock_agentcore::{BedrockAgentCoreApp, HandlerError, ServeError, StatusCode, Task, TaskId, Tasks};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

const ROWS_PER_CHUNK: u64 = 10_000;

/// The payload: start to process a data set, or look at a task that was started.
#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    dataset_size: DatasetSize,
    /// How long the data takes to come in, in seconds.
    #[serde(default = "half_an_hour")]
    duration: u64,
    task_id: Option<TaskId>,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum DatasetSize {
    Small,
    #[default]
    Medium,
    Large,
}

fn half_an_hour() -> u64 {
    1800
}

fn start_data_processing(tasks: &Tasks, size: DatasetSize, duration: u64) -> Value {
    let chunks = match size {
        DatasetSize::Small => 10,
        DatasetSize::Medium => 100,
        DatasetSize::Large => 1000,
    };
    let task = tasks
        .task("data_processing")
        .metadata(json!({"size": size}))
        .spawn(move |task| process_data(task, chunks, Duration::from_secs(duration)));
    let task_id = task.id();
    let status = format!("🚀 Processing started (Task {task_id}). I'll continue in the background!");
    json!({"status": status, "task_id": task_id})
}

/// Averages measurements that come in chunk by chunk. Cancelled, it ends at the next `await`.
async fn process_data(task: Task, chunks: u32, duration: Duration) -> Value {
    let mut arrival = interval((duration / chunks).max(Duration::from_millis(1)));
    arrival.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut rows, mut sum) = (0, 0.0);
    for chunk in 1..=chunks {
        arrival.tick().await;
        sum += (0..ROWS_PER_CHUNK).map(|_| fastrand::f64()).sum::<f64>();
        rows += ROWS_PER_CHUNK;
        task.report_progress(json!({"chunks": chunk, "of": chunks, "rows": rows}));
    }
    json!({"rows": rows, "mean": sum / rows as f64})
}

async fn handler(payload: Payload, tasks: Tasks) -> Result<Value, HandlerError> {
    let Some(id) = payload.task_id else {
        return Ok(start_data_processing(&tasks, payload.dataset_size, payload.duration));
    };
    let unknown = || HandlerError::new(StatusCode::NOT_FOUND, format!("no task {id} was started here"));
    Ok(json!(tasks.get_async_task(id).ok_or_else(unknown)?))
}

fn main() -> Result<(), ServeError> {
    BedrockAgentCoreApp::new().entrypoint(handler).run()
}
