//! Way 2, manual task management: more control over what counts as a task, and for how long.
//!
//! ```sh
//! cargo run -p agentcore-examples --bin manual_tasks
//! curl http://localhost:8080/invocations -d '{"prompt": "start a background task"}'
//! curl http://localhost:8080/ping                                                      # HealthyBusy
//! ```

use std::thread;
use std::time::Duration;

use bedrock_agentcore::{BedrockAgentCoreApp, ServeError, Tasks};
use serde::Deserialize;
use serde_json::{Value, json};

/// The payload. Whatever else it holds, such as a prompt, is passed over.
#[derive(Deserialize)]
struct Event {
    /// How long the work takes, in seconds.
    #[serde(default = "thirty")]
    duration: u64,
}

fn thirty() -> u64 {
    30
}

/// Starts tracking a task manually.
fn handler(event: Event, tasks: Tasks) -> Value {
    // Start tracking the task
    let task_id = tasks.add_async_task("data_processing", json!({"batch": 100}));

    // Start background work, on a thread of our own
    thread::spawn(move || {
        simulate_work(event.duration);
        tasks.complete_async_task(task_id); // Mark as complete
    });
    // Should the work panic before that line, the task would count as running for ever. The guard
    // of `tasks.task("data_processing").start()` ends the task whichever way its owner goes.

    json!({"status": "Task started", "task_id": task_id})
}

#[expect(clippy::disallowed_methods, reason = "a thread of our own may block: nothing waits for it")]
fn simulate_work(seconds: u64) {
    thread::sleep(Duration::from_secs(seconds));
}

fn main() -> Result<(), ServeError> {
    // A plain function goes to `entrypoint_blocking`: it may block as it likes, /ping answers all
    // the while.
    BedrockAgentCoreApp::new().entrypoint_blocking(handler).run()
}
