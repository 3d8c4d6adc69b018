//! Debug and testing features: with `debug(true)` the agent answers `_agent_core_app_action`.
//!
//! The agent itself is the complete example's: "start a 3 second task" starts one.
//!
//! ```sh
//! cargo run -p agentcore-examples --bin debug_actions
//! curl http://localhost:8080/invocations -d '{"prompt": "start a 3 second task"}'
//! curl http://localhost:8080/invocations -d '{"_agent_core_app_action": "job_status"}'
//! curl http://localhost:8080/invocations -d '{"_agent_core_app_action": "force_busy"}'
//! curl http://localhost:8080/ping                                                      # HealthyBusy
//! curl http://localhost:8080/invocations -d '{"_agent_core_app_action": "clear_forced_status"}'
//! ```
//!
//! `ping_status` and `force_healthy` are the others.

use std::time::Duration;

use bedrock_agentcore::{BedrockAgentCoreApp, Health, ServeError, Tasks};
use serde::Deserialize;
use serde_json::{Value, json};

/// The payload.
#[derive(Deserialize)]
struct Payload {
    #[serde(default = "example")]
    prompt: String,
}

fn example() -> String {
    "Try: start_background_task(3)".to_owned()
}

/// Starts a simple background task that runs for the specified duration.
fn start_background_task(tasks: &Tasks, duration: u64) -> String {
    // Start tracking the async task
    let task_id = tasks.add_async_task("background_processing", json!({"duration": duration}));

    // Run the task in the background
    let tasks = tasks.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(duration)).await; // Simulate work
        tasks.complete_async_task(task_id); // Mark as complete
    });
    format!("Started background task (ID: {task_id}) for {duration} seconds. Agent status is now BUSY.")
}

/// What stands in for a language model here: it calls the tool with the first number in the
/// prompt, or with 5.
fn agent(tasks: &Tasks, prompt: &str) -> String {
    let mut numbers = prompt.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
    start_background_task(tasks, numbers.next().unwrap_or(5))
}

/// Main entrypoint: handles user messages, and shows what the API's methods say afterwards.
async fn handler(payload: Payload, tasks: Tasks, health: Health) -> Value {
    let message = agent(&tasks, &payload.prompt);
    let status = health.get_current_ping_status().await;
    let info = tasks.get_async_task_info();
    json!({"message": message, "status": status, "info": info})
}

fn main() -> Result<(), ServeError> {
    // Not in production: whoever can reach the agent can then force its status.
    BedrockAgentCoreApp::new().debug(true).entrypoint(handler).run()
}
