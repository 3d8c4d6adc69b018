//! This project's own paths.

use axum::http::{Method, StatusCode};

use crate::support::{TestHost, session_id};

#[tokio::test(start_paused = true)]
async fn agents_are_listed_and_forgotten_with_their_sessions() {
    let host = TestHost::start().await;
    let session = session_id("orphan");
    host.invoke(&session, "{}").await;
    let mut listed = host.get("/_agentcore/v1/agents").await.json();
    let default_session = listed["agents"][0]["default_session"].take();
    let nameless = host.request(Method::POST, "/invocations").await;
    assert_eq!(
        nameless.headers["x-amzn-bedrock-agentcore-runtime-session-id"],
        default_session.as_str().unwrap()
    );
    assert_eq!(
        listed["agents"][0],
        serde_json::json!({
            "name": "tester", "default": true, "default_session": null, "program": "/bin/tester", "args": [],
            "lifecycle": {"idle_timeout": 60, "max_lifetime": 3600}, "running_sessions": 1,
        })
    );
    assert_eq!(
        host.request(Method::DELETE, "/_agentcore/v1/agents/tester").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        host.request(Method::DELETE, "/_agentcore/v1/agents/tester").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(host.invoke(&session, "{}").await.status, StatusCode::NOT_FOUND);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(host.kind.running(), 0);
    let path = format!("/_agentcore/v1/sessions/{session}?agent=tester");
    assert_eq!(host.get(&path).await.json()["reason"]["detail"], "its agent was deleted");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn sessions_are_listed_newest_first_and_by_state() {
    let host = TestHost::start().await;
    let names = ["first", "second", "third"].map(session_id);
    for session in &names {
        host.invoke(session, "{}").await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    host.request(Method::POST, &format!("/_agentcore/v1/sessions/{}/stop", names[1])).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let list = async |query: &str| {
        let answer = host.get(&format!("/_agentcore/v1/sessions{query}")).await;
        let sessions = answer.json()["sessions"].as_array().unwrap().clone();
        sessions.iter().map(|session| session["session_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let [first, second, third] = names.clone();
    assert_eq!(list("").await, [third.clone(), second.clone(), first.clone()]);
    assert_eq!(list("?state=running").await, [third.clone(), first]);
    assert_eq!(list("?state=stopped").await, [second]);
    assert_eq!(list("?limit=1").await, [third]);
    assert!(list("?agent=nobody").await.is_empty());
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_is_shown_with_what_it_does_and_uses() {
    let host = TestHost::start().await;
    let session = session_id("shown");
    host.invoke(&session, "{}").await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let shown = host.show(&session).await;
    assert_eq!(shown["state"], "idle");
    assert_eq!(shown["agent"], "tester");
    assert_eq!(shown["usage"]["memory_bytes"], 1 << 20);
    let (since, deadline) = (shown["idle_since"].as_u64().unwrap(), shown["idle_deadline"].as_u64().unwrap());
    assert_eq!(deadline - since, 60_000);
    let life = shown["max_lifetime_deadline"].as_u64().unwrap() - shown["started_at"].as_u64().unwrap();
    assert!(life.abs_diff(3_600_000) < 100, "{life}");
    assert_eq!(shown["reason"], serde_json::Value::Null);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_id_may_hold_any_visible_character() {
    let host = TestHost::start().await;
    let session = format!("{:x<40}", "a/b?c%d#e");
    host.invoke(&session, "{}").await;
    let path = format!("/_agentcore/v1/sessions/{}", session.replace('%', "%25").replace('/', "%2F"));
    let path = path.replace('?', "%3F").replace('#', "%23");
    assert_eq!(host.get(&path).await.json()["session_id"], session.as_str());
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_unknown_or_over_cannot_be_stopped_or_shown() {
    let host = TestHost::start().await;
    let session = session_id("unknown");
    let path = format!("/_agentcore/v1/sessions/{session}");
    assert_eq!(host.get(&path).await.json()["error"], "Unknown session");
    let stop = format!("{path}/stop");
    assert_eq!(host.request(Method::POST, &stop).await.status, StatusCode::NOT_FOUND);
    host.invoke(&session, "{}").await;
    assert_eq!(host.request(Method::POST, &stop).await.status, StatusCode::ACCEPTED);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(host.request(Method::POST, &stop).await.status, StatusCode::NOT_FOUND);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn logs_are_read_while_a_session_runs_and_after() {
    let host = TestHost::start().await;
    let session = session_id("talker");
    host.invoke(&session, "{}").await;
    let path = format!("/_agentcore/v1/sessions/{session}/logs");
    host.kind.agents()[0].write_log(b"one\ntwo\nthree\n");
    assert_eq!(host.get(&path).await.text, "one\ntwo\nthree\n");
    // The in-memory kind keeps its log to itself; a process has it in files.
    let folder = host.kind.agents()[0].spec().folder.clone();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("log"), "four\nfive\n").unwrap();
    assert_eq!(host.get(&format!("{path}?tail=1")).await.text, "five\n");
    let follow = format!("{path}?follow=true&tail=1");
    let (followed, ()) = tokio::join!(host.get(&follow), async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        std::fs::write(folder.join("log"), "four\nfive\nsix\n").unwrap();
        host.kind.agents()[0].exit(agentcore_sandbox::ExitStatus::Code(0));
    });
    assert_eq!(followed.text, "five\nsix\n");
    assert_eq!(host.get(&path).await.text, "four\nfive\nsix\n");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_host_tells_of_itself() {
    let host = TestHost::start().await;
    host.invoke(&session_id("a"), r#"{"do":"busy"}"#).await;
    host.invoke(&session_id("b"), "{}").await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let told = host.get("/_agentcore/v1/host").await.json();
    assert_eq!(told["pid"], std::process::id());
    assert_eq!(told["sessions"], serde_json::json!({"starting": 0, "active": 1, "idle": 1, "stopping": 0}));
    assert_eq!(told["listen"], host.host.local_addr().to_string());
    host.end().await;
}
