//! An agent for tests: this very test binary, asked to run one test that serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedrock_agentcore::{App, Tasks};
use serde_json::{Value, json};

/// The test that serves when it is run as an agent.
pub(crate) const TEST_NAME: &str = "support::agent::serves_when_it_is_run_as_an_agent";
/// Set where it is to serve.
const ROLE: &str = "RUN_AS_TEST_AGENT";

/// A program that becomes the agent.
pub(crate) fn script() -> String {
    let binary = std::env::current_exe().unwrap();
    format!("#!/bin/sh\n{ROLE}=1 exec {} --exact {TEST_NAME} --nocapture\n", binary.display())
}

/// Counts its invocations, and does what the payload says: `work` in the background for so many
/// seconds, `fail` with a message, `exit` with a code.
#[test]
fn serves_when_it_is_run_as_an_agent() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let count = Arc::new(AtomicU64::new(0));
    let handler = move |payload: Value, tasks: Tasks| {
        let count = Arc::clone(&count);
        async move { answer(&payload, &tasks, count.fetch_add(1, Ordering::SeqCst) + 1) }
    };
    App::new().entrypoint(handler).run().unwrap();
}

fn answer(payload: &Value, tasks: &Tasks, count: u64) -> Result<Value, String> {
    println!("invocation {count}: {payload}");
    if let Some(code) = payload["exit"].as_i64() {
        std::process::exit(i32::try_from(code).unwrap_or(1));
    }
    if let Some(message) = payload["fail"].as_str() {
        return Err(message.to_owned());
    }
    if let Some(seconds) = payload["work"].as_f64() {
        let time = Duration::from_secs_f64(seconds);
        drop(tasks.task("work").spawn(move |_| tokio::time::sleep(time)));
    }
    Ok(json!({ "count": count, "pid": std::process::id(), "payload": payload }))
}
