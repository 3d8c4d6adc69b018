//! Debug actions, with debug on and off.

use bedrock_agentcore::App;
use serde_json::{Value, json};

use crate::support::{HandClock, invoke, service, status};

fn action(name: &str) -> String {
    json!({"_agent_core_app_action": name, "prompt": "hi"}).to_string()
}

async fn answers(_: Value) -> &'static str {
    "the handler's"
}

#[tokio::test]
async fn each_action_has_its_documented_answer() {
    let clock = HandClock::default();
    clock.set_seconds(7);
    let service = service(App::with_clock(clock).debug(true).entrypoint(answers));
    for (name, answer, then) in [
        ("ping_status", r#"{"status":"Healthy","time_of_last_update":7}"#, "Healthy"),
        ("job_status", r#"{"active_count":0,"running_jobs":[]}"#, "Healthy"),
        ("force_busy", r#"{"forced_status":"HealthyBusy"}"#, "HealthyBusy"),
        ("force_healthy", r#"{"forced_status":"Healthy"}"#, "Healthy"),
        ("force_busy", r#"{"forced_status":"HealthyBusy"}"#, "HealthyBusy"),
        ("clear_forced_status", r#"{"forced_status":"Cleared"}"#, "Healthy"),
    ] {
        let answered = invoke(&service, action(name)).await;
        assert_eq!(answered.brief(), (200, answer));
        assert_eq!(answered.header("content-type"), "application/json");
        assert_eq!(status(&service).await, then, "after {name}");
    }
}

#[tokio::test]
async fn job_status_lists_running_tasks_by_name_and_duration() {
    let app = App::new().debug(true).entrypoint(answers);
    let id = app.add_async_task("data_processing", json!({"batch": 100}));
    let jobs = invoke(&service(app), action("job_status")).await.json();
    assert_eq!(jobs["active_count"], 1);
    let job = &jobs["running_jobs"][0];
    assert_eq!(job["name"], "data_processing");
    assert!(job["duration"].is_f64(), "{job}");
    assert_eq!((&job["task_id"], &job["metadata"]), (&json!(id), &json!({"batch": 100})));
}

#[tokio::test]
async fn an_unknown_action_is_named() {
    let service = service(App::new().debug(true).entrypoint(answers));
    let answer = invoke(&service, action("dance")).await;
    assert_eq!(answer.brief(), (400, r#"{"error":"Unknown action: dance"}"#));
    let answer = invoke(&service, r#"{"_agent_core_app_action":5}"#).await;
    assert_eq!(answer.brief(), (400, r#"{"error":"Unknown action: 5"}"#));
}

#[tokio::test]
async fn a_payload_without_an_action_is_an_ordinary_one() {
    let service = service(App::new().debug(true).entrypoint(answers));
    for payload in [
        r#"{"_agent_core_app_action":""}"#,
        r#"{"_agent_core_app_action":null}"#,
        r#"{"_agent_core_app_action":0}"#,
        r#"["_agent_core_app_action"]"#,
        r#""force_busy""#,
        "null",
    ] {
        assert_eq!(invoke(&service, payload).await.brief(), (200, r#""the handler's""#), "{payload}");
    }
    assert_eq!(invoke(&service, "{").await.status, 400);
}

#[tokio::test]
async fn without_debug_an_action_is_an_ordinary_payload() {
    let service = service(App::new().entrypoint(async |payload: Value| payload));
    assert_eq!(invoke(&service, action("force_busy")).await.json()["prompt"], "hi");
    assert_eq!(status(&service).await, "Healthy");
}
