//! The seed document's two sections on local testing, with AWS's own SDK.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Project, eventually, http, python};

/// The document's example, with `import asyncio` added.
const AGENT: &str = r#"import asyncio
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

@app.async_task
async def background_work():
    await asyncio.sleep(10)  # Status becomes "HealthyBusy"
    return "done"

@app.entrypoint
async def handler(event):
    asyncio.create_task(background_work())
    return {"status": "started"}

if __name__ == "__main__":
    app.run()
"#;

/// Waits until `curl /ping` says so.
async fn expect_ping(url: &str, status: &str) {
    eventually(&format!("/ping says {status}"), || async {
        let answer = http::get(&format!("{url}/ping")).await;
        (answer.json()["status"] == status).then_some(())
    })
    .await;
}

/// The one test that takes more than ten seconds: the example works for ten.
#[tokio::test]
async fn the_document_agent_runs_by_the_command_line() {
    let Some(python) = python() else { return };
    let project = Project::new();
    project.interpreter(&python);
    project.file("my_async_agent.py", AGENT);
    project.configure("my_async_agent.py", &["--idle-timeout", "2"]).await;
    let host = project.launch(&[]).await;
    expect_ping(&host.url, "Healthy").await;

    let answer = project.json(&["invoke", r#"{"prompt": "start processing"}"#, "-l"]).await;
    let began = Instant::now();
    assert_eq!(answer, serde_json::json!({"status": "started"}));
    expect_ping(&host.url, "HealthyBusy").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    expect_ping(&host.url, "HealthyBusy").await;

    let status = project.json(&["status", "-v"]).await;
    let session = status["agent"]["session_id"].as_str().unwrap().to_owned();
    let ended = project.ended(&session).await;
    assert!(began.elapsed() > Duration::from_secs(11), "it outlived its idle timeout five times");
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
    project.file("my_async_agent.py", &AGENT.replace("sleep(10)", "sleep(2)"));
    project.configure("my_async_agent.py", &[]).await;
    let host = project.launch(&[]).await;

    expect_ping(&host.url, "Healthy").await;
    let body = r#"{"prompt": "start a background task"}"#;
    let answer = http::post(&format!("{}/invocations", host.url), None, body).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, r#"{"status": "started"}"#));
    expect_ping(&host.url, "HealthyBusy").await;
    expect_ping(&host.url, "Healthy").await;
    host.interrupt().await;
    project.expect_no_processes().await;
}
