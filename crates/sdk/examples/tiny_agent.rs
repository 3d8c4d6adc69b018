//! A tiny agent with a background task, as a process of its own: what its tests ask of it.
//!
//! ```sh
//! cargo run -p bedrock-agentcore --example tiny_agent
//! curl localhost:8080/invocations -d '{"action": "work"}'
//! curl localhost:8080/ping
//! ```

use bedrock_agentcore::{App, ServeError, Tasks, async_task};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Event {
    /// Work that goes on until the agent is told to stop.
    Work,
    /// A task within a task of one's own.
    Nested,
    /// A line in the log.
    Log,
    /// A handler that never answers.
    Hang,
    /// Which process this is.
    Pid,
}

#[async_task]
async fn nested_work() {
    std::future::pending::<()>().await;
}

async fn handler(event: Event, tasks: Tasks) -> Value {
    match event {
        Event::Work => {
            let work = tasks.task("work").spawn(async |task| {
                task.cancelled().await;
                tracing::info!("the work was told to stop");
                "saved"
            });
            json!({"task_id": work.id()})
        }
        Event::Nested => {
            let started = tokio::spawn(async {
                tokio::spawn(nested_work());
                tokio::task::yield_now().await;
            });
            let _ = started.await;
            json!("started")
        }
        Event::Log => {
            tracing::info!(target: "tiny_agent", rows = 3, "a line of the handler's own");
            json!("logged")
        }
        Event::Hang => std::future::pending().await,
        Event::Pid => json!(std::process::id()),
    }
}

fn main() -> Result<(), ServeError> {
    App::new().entrypoint(handler).run()
}
