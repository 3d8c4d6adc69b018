//! One agent, unmodified, on AWS's package and on this project's: the same by the command line.

use std::path::Path;

use agentcore_protocol::headers::SESSION_ID;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Project, eventually, http, package_python, python, session_id};

/// It works in the background until it is told to finish, so that no test depends on time.
const AGENT: &str = r#"import asyncio
import os

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
finish = asyncio.Event()

def about(context):
    return {"session": context.session_id, "pid": os.getpid()}

@app.async_task
async def background_work():
    await finish.wait()

@app.entrypoint
async def handler(event, context):
    if event.get("finish"):
        finish.set()
    else:
        asyncio.create_task(background_work())
    # A peer has an address only where the agent bound a port of its own.
    return {**about(context), "peer": context.request.client}

@app.websocket
async def talk(websocket, context):
    await websocket.accept()
    await websocket.send_json({**about(context), "heard": await websocket.receive_text()})
    await websocket.close()

if __name__ == "__main__":
    app.run()
"#;

#[tokio::test]
async fn an_agent_on_awss_package_runs_by_the_command_line() {
    let Some(python) = python() else { return };
    runs_on(&python).await;
}

#[tokio::test]
async fn the_same_agent_on_this_package_runs_by_the_command_line() {
    let Some(python) = package_python() else { return };
    runs_on(&python).await;
}

/// The example as it is, with a model beside it in the session: its loopback is its own.
const STRANDS: &str = r#"import os
import runpy

import scripted_bedrock

with scripted_bedrock.Server() as bedrock:
    os.environ.update(AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.url, AWS_REGION="us-west-2",
                      AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    runpy.run_path("strands_agent.py", run_name="__main__")
"#;

#[tokio::test]
async fn the_strands_example_runs_behind_the_walls_that_there_are_by_default() {
    let Some(python) = package_python() else { return };
    let project = Project::new();
    project.interpreter(&python);
    project.file("agent.py", STRANDS);
    project.file("strands_agent.py", include_str!("../../../../examples/python/strands_agent.py"));
    project.file("scripted_bedrock.py", include_str!("../../../../tests/python/package/scripted_bedrock.py"));
    project.configure("agent.py", &[]).await;
    let host = project.launch(&[]).await;
    let session = session_id("strands");

    let told = project.invoke(&session, r#"{"prompt": "start a 3 second task"}"#).await;
    assert_eq!(told["message"]["content"], json!([{"text": "It has been started."}]), "{told}");
    project.expect_walls();
    expect_ping(&host.url, &session, "Healthy").await;
    host.interrupt().await;
    project.expect_no_processes().await;
}

async fn runs_on(python: &Path) {
    let project = Project::new();
    project.interpreter(python);
    project.file("agent.py", AGENT);
    project.configure("agent.py", &[]).await;
    let host = project.launch(&[]).await;
    let session = session_id("package");

    let started = project.invoke(&session, "{}").await;
    assert_eq!(started, json!({"session": session, "pid": started["pid"], "peer": null}));
    project.expect_walls();
    expect_ping(&host.url, &session, "HealthyBusy").await;
    let heard = json!({"session": session, "pid": started["pid"], "heard": "hello"});
    assert_eq!(over_websocket(&host.url, &session, "hello").await, heard, "in the same session");

    assert_eq!(project.invoke(&session, r#"{"finish": true}"#).await, started);
    expect_ping(&host.url, &session, "Healthy").await;
    host.interrupt().await;
    project.expect_no_processes().await;
}

/// Waits until `curl /ping` says so of the session.
async fn expect_ping(url: &str, session: &str, status: &str) {
    eventually(&format!("/ping says {status}"), || async {
        let answer = http::get(&format!("{url}/ping?{SESSION_ID}={session}")).await;
        (answer.json()["status"] == status).then_some(())
    })
    .await;
}

/// Says something, and returns what is said in reply.
async fn over_websocket(url: &str, session: &str, text: &'static str) -> Value {
    let mut request = format!("{}/ws", url.replace("http", "ws")).into_client_request().unwrap();
    request.headers_mut().insert(SESSION_ID, session.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    socket.send(Message::text(text)).await.unwrap();
    let reply = socket.next().await.unwrap().unwrap();
    serde_json::from_str(reply.to_text().unwrap()).unwrap()
}
