//! Way 3, custom ping handler: your own logic in place of "busy while tasks run".
//!
//! ```sh
//! cargo run -p agentcore-examples --bin custom_ping
//! curl http://localhost:8080/invocations -d '{"action": "start_processing"}'
//! curl http://localhost:8080/ping                                                      # HealthyBusy
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bedrock_agentcore::{BedrockAgentCoreApp, PingStatus, ServeError};
use serde::Deserialize;
use serde_json::{Value, json};

/// Global state to track custom conditions
static PROCESSING_DATA: AtomicBool = AtomicBool::new(false);

/// Custom ping handler with your own logic
fn custom_status() -> PingStatus {
    if PROCESSING_DATA.load(Ordering::Relaxed) || system_busy() {
        return PingStatus::HealthyBusy;
    }
    PingStatus::Healthy
}

/// Whether this machine is about to run out of memory: less than a twentieth is available. Where
/// the kernel does not tell (it does on Linux), it is not.
fn system_busy() -> bool {
    let report = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| {
        let line = report.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    matches!((kib("MemAvailable:"), kib("MemTotal:")), (Some(available), Some(total)) if available < total / 20)
}

/// The payload.
#[derive(Deserialize)]
struct Event {
    action: Option<String>,
    /// How long the processing takes, in seconds.
    #[serde(default = "ten")]
    duration: u64,
}

fn ten() -> u64 {
    10
}

async fn handler(event: Event) -> Value {
    if event.action.as_deref() == Some("start_processing") {
        if PROCESSING_DATA.swap(true, Ordering::Relaxed) {
            return json!({"status": "Already processing"});
        }
        // Start your processing...
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(event.duration)).await;
            PROCESSING_DATA.store(false, Ordering::Relaxed);
        });
        return json!({"status": "Processing started"});
    }
    json!({"status": "Ready"})
}

fn main() -> Result<(), ServeError> {
    BedrockAgentCoreApp::new().ping(custom_status).entrypoint(handler).run()
}
