//! Way 1, async task (recommended): the attribute tracks an async function, and the SDK manages the
//! ping status by itself.
//!
//! ```sh
//! cargo run -p agentcore-examples --bin async_task
//! curl http://localhost:8080/ping                                                      # Healthy
//! curl http://localhost:8080/invocations -d '{"prompt": "start a background task"}'
//! curl http://localhost:8080/ping                                                      # HealthyBusy
//! ```

use std::time::Duration;

use bedrock_agentcore::{BedrockAgentCoreApp, ServeError, async_task};
use serde::Deserialize;
use serde_json::{Value, json};

/// The payload. Whatever else it holds, such as a prompt, is passed over.
#[derive(Deserialize)]
struct Event {
    /// How long the work takes, in seconds.
    #[serde(default = "ten")]
    duration: u64,
}

fn ten() -> u64 {
    10
}

#[async_task]
async fn background_work(duration: u64) -> &'static str {
    tokio::time::sleep(Duration::from_secs(duration)).await; // Status becomes "HealthyBusy"
    "done" // Kept as the task's result
}

async fn handler(event: Event) -> Value {
    // In the background, and tracked before this line is over. `tokio::spawn(background_work(..))`
    // would do as well; `background_work(..).await` runs it in place.
    let task = background_work(event.duration).spawn();
    json!({"status": "started", "task_id": task.id()})
}

fn main() -> Result<(), ServeError> {
    BedrockAgentCoreApp::new().entrypoint(handler).run()
}
