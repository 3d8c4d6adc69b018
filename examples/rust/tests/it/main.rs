//! Each example's real binary, driven as the curl lines in its documentation do.

#![allow(clippy::unwrap_used, reason = "in a test a panic is a failure that says where")]

#[path = "../../../support/agent_process.rs"]
mod agent_process;

use agent_process::AgentProcess;
use http::StatusCode;
use serde_json::{Value, json};

async fn start(program: &str) -> AgentProcess {
    AgentProcess::start(program, &[]).await
}

/// What every example shows: Healthy, then HealthyBusy once `payload` is sent, then Healthy again.
async fn is_busy_while_it_works(agent: &AgentProcess, payload: Value) -> Value {
    assert_eq!(agent.ping().await, "Healthy");
    let answer = agent.invoke(payload).await;
    assert_eq!(agent.ping().await, "HealthyBusy");
    agent.until_ping_says("Healthy").await;
    answer
}

#[tokio::test]
async fn an_async_task_keeps_the_agent_busy() {
    let agent = start(env!("CARGO_BIN_EXE_async_task")).await;
    let payload = json!({"prompt": "start a background task", "duration": 1});
    let answer = is_busy_while_it_works(&agent, payload).await;
    assert_eq!(answer["status"], "started");
}

#[tokio::test]
async fn a_manual_task_keeps_the_agent_busy_until_it_is_marked_as_complete() {
    let agent = start(env!("CARGO_BIN_EXE_manual_tasks")).await;
    let answer = is_busy_while_it_works(&agent, json!({"duration": 1})).await;
    assert_eq!(answer["status"], "Task started");
    assert!(answer["task_id"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_custom_ping_handler_decides_the_status() {
    let agent = start(env!("CARGO_BIN_EXE_custom_ping")).await;
    assert_eq!(agent.invoke(json!({})).await, json!({"status": "Ready"}));
    let payload = json!({"action": "start_processing", "duration": 1});
    let answer = is_busy_while_it_works(&agent, payload).await;
    assert_eq!(answer, json!({"status": "Processing started"}));
}

#[tokio::test]
async fn debug_actions_list_tasks_and_force_the_status() {
    let agent = start(env!("CARGO_BIN_EXE_debug_actions")).await;
    let action = async |name: &str| agent.invoke(json!({"_agent_core_app_action": name})).await;
    assert_eq!(action("job_status").await, json!({"active_count": 0, "running_jobs": []}));

    let answer = agent.invoke(json!({"prompt": "start a 1 second task"})).await;
    assert!(
        answer["message"].as_str().unwrap().ends_with("for 1 seconds. Agent status is now BUSY."),
        "{answer}"
    );
    assert_eq!(answer["status"], "HealthyBusy");
    assert_eq!(answer["info"]["active_count"], 1);
    assert_eq!(action("job_status").await["running_jobs"][0]["name"], "background_processing");

    assert_eq!(action("force_healthy").await, json!({"forced_status": "Healthy"}));
    assert_eq!(agent.ping().await, "Healthy");
    assert_eq!(action("force_busy").await, json!({"forced_status": "HealthyBusy"}));
    assert_eq!(action("ping_status").await["status"], "HealthyBusy");
    assert_eq!(action("clear_forced_status").await, json!({"forced_status": "Cleared"}));
    agent.until_ping_says("Healthy").await;
}

#[tokio::test]
async fn a_long_running_task_has_a_result_to_check_back_for() {
    let agent = start(env!("CARGO_BIN_EXE_long_running_processing")).await;
    let payload = json!({"dataset_size": "small", "duration": 1});
    let answer = is_busy_while_it_works(&agent, payload).await;
    assert!(answer["status"].as_str().unwrap().contains("Processing started"));

    let record = agent.invoke(json!({"task_id": answer["task_id"]})).await;
    assert_eq!(record["status"], "completed");
    assert_eq!(record["metadata"], json!({"size": "small"}));
    assert_eq!(record["result"]["rows"], 100_000);
    let (status, _) = agent.try_invoke(json!({"task_id": 1})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn progress_can_be_read_while_a_task_runs_and_afterwards() {
    let agent = start(env!("CARGO_BIN_EXE_progress_monitoring")).await;
    let task_id =
        agent.invoke(json!({"prompt": "start a background task", "duration": 1})).await["task_id"].clone();
    assert_eq!(agent.ping().await, "HealthyBusy");
    let running = agent.invoke(json!({"action": "get_progress", "task_id": task_id})).await;
    assert_eq!(running["tasks"][0]["status"], "running");

    agent.until_ping_says("Healthy").await;
    let tasks = agent.invoke(json!({"action": "get_progress"})).await["tasks"].take();
    assert_eq!(tasks[0]["task_id"], task_id);
    assert_eq!(tasks[0]["status"], "completed");
    assert_eq!(tasks[0]["progress"], tasks[0]["result"]);
    assert!(tasks[0]["result"]["primes_found"].as_u64().unwrap() > 1000);
}

#[tokio::test]
async fn told_to_stop_an_agent_ends_what_it_does_and_leaves() {
    let agent = start(env!("CARGO_BIN_EXE_progress_monitoring")).await;
    agent.invoke(json!({"duration": 3600})).await;
    agent.stop().await;
}
