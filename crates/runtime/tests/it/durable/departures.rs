//! What is on record of an agent goes with it.

use std::fs;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::{ended, invoke_async, invoke_with, location};
use crate::support::{TestHost, eventually, session_id};

const KEY: (&str, &str) = ("idempotency-key", "order-1");
const AGENT: &str = "/_agentcore/v1/agents/tester";

/// Has the agent leave a task, an answer with a key, a stream that has ended and one that runs.
/// Where the streams are.
async fn leave_something(host: &TestHost) -> [String; 2] {
    let session = session_id("a");
    assert_eq!(invoke_with(host, &session, KEY, "{}").await.text, r#"{"count":1}"#);
    let journal = host.kind.agents()[0].spec().folder.join("journal");
    fs::create_dir_all(&journal).unwrap();
    let task = json!({"at": 1, "task_id": 1, "event": "started", "name": "t"});
    fs::write(journal.join("tasks.jsonl"), format!("{task}\n")).unwrap();
    let over = location(&invoke_async(host, &session, r#"{"do":"stream","items":1}"#).await);
    ended(host, &over).await;
    let runs = location(&invoke_async(host, &session, r#"{"do":"stream","items":1000}"#).await);
    eventually("its task is on record", async || count(host, "tasks").await == 1).await;
    [over, runs]
}

async fn count(host: &TestHost, what: &str) -> usize {
    host.get(&format!("/_agentcore/v1/{what}")).await.json()[what].as_array().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_deletes_is_gone_once_its_sessions_have_ended() {
    let host = TestHost::start().await;
    let locations = leave_something(&host).await;
    assert_eq!(host.request(Method::DELETE, AGENT).await.status, StatusCode::NO_CONTENT);
    let files = host.folder.path().join("invocations");
    eventually("all of it is gone", async || {
        let left = count(&host, "invocations").await + count(&host, "tasks").await;
        left == 0 && fs::read_dir(&files).unwrap().count() == 0
    })
    .await;
    for location in locations {
        assert_eq!(host.get(&location).await.status, StatusCode::NOT_FOUND);
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_later_agent_of_the_same_name_knows_nothing_of_the_earlier_one() {
    let host = TestHost::start().await;
    let locations = leave_something(&host).await;
    host.request(Method::DELETE, AGENT).await;
    // The host ends before the session has; the next one is told of an agent of that name again.
    let host = host.restart().await;
    for location in locations {
        assert_eq!(host.get(&location).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!((count(&host, "invocations").await, count(&host, "tasks").await), (0, 0));
    assert_eq!(host.kind.running(), 0, "the earlier agent's session has ended");
    assert_eq!(invoke_with(&host, &session_id("a"), KEY, r#"{"another":1}"#).await.text, r#"{"count":1}"#);
    assert_eq!(count(&host, "invocations").await, 1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(count(&host, "invocations").await, 1, "what is the later one's stays");
    host.end().await;
}
