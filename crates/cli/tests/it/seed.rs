//! The seed document's two sections on local testing, with AWS's own SDK.

use std::time::Duration;

use crate::support::{Project, eventually, http, python};

/// The document's example.
const EXAMPLE: &str = include_str!("../../../../examples/python/async_task_decorator.py");
/// Its ten seconds of work.
const WORK: &str = "    await asyncio.sleep(10)  # Status becomes \"HealthyBusy\"\n";

/// The example with work that is done when the test says so, not after ten seconds.
fn agent(project: &Project) -> String {
    assert_eq!(EXAMPLE.matches(WORK).count(), 1, "the example has another line of work");
    let until_told = format!(
        "    while not __import__(\"os\").path.exists({:?}):\n        await asyncio.sleep(0.02)\n",
        project.done()
    );
    EXAMPLE.replace(WORK, &until_told)
}

/// Waits until `curl /ping` says so.
async fn expect_ping(url: &str, status: &str) {
    eventually(&format!("/ping says {status}"), || async {
        let answer = http::get(&format!("{url}/ping")).await;
        (answer.json()["status"] == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_document_agent_runs_by_the_command_line() {
    let Some(python) = python() else { return };
    let project = Project::new();
    project.interpreter(&python);
    project.file("my_async_agent.py", &agent(&project));
    project.configure("my_async_agent.py", &["--idle-timeout", "2"]).await;
    let host = project.launch(&[]).await;
    expect_ping(&host.url, "Healthy").await;

    let answer = project.json(&["invoke", r#"{"prompt": "start processing"}"#, "-l"]).await;
    assert_eq!(answer, serde_json::json!({"status": "started"}));
    project.expect_walls();
    expect_ping(&host.url, "HealthyBusy").await;
    let status = project.json(&["status", "-v"]).await;
    let session = status["agent"]["session_id"].as_str().unwrap().to_owned();
    tokio::time::sleep(2 * Duration::from_secs(2)).await;
    let shown = project.session(&session).await;
    assert_eq!(shown["state"], "active", "it outlives its idle timeout twice: {shown}");
    expect_ping(&host.url, "HealthyBusy").await;

    project.work_is_done();
    let ended = project.ended(&session).await;
    assert_eq!(ended["reason"]["kind"], "IdleTimeout", "{ended}");
    expect_ping(&host.url, "Healthy").await;
    host.interrupt().await;
    project.expect_no_processes().await;
}

#[tokio::test]
async fn the_document_agent_runs_by_curl() {
    let Some(python) = python() else { return };
    let project = Project::new();
    project.interpreter(&python);
    project.file("my_async_agent.py", &agent(&project));
    project.configure("my_async_agent.py", &[]).await;
    let host = project.launch(&[]).await;

    expect_ping(&host.url, "Healthy").await;
    let body = r#"{"prompt": "start a background task"}"#;
    let answer = http::post(&format!("{}/invocations", host.url), None, body).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, r#"{"status": "started"}"#));
    project.expect_walls();
    expect_ping(&host.url, "HealthyBusy").await;
    project.work_is_done();
    expect_ping(&host.url, "Healthy").await;
    host.interrupt().await;
    project.expect_no_processes().await;
}
