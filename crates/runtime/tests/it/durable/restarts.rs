//! What becomes of invocations when their host ends.

use std::time::Duration;

use agentcore_runtime::AgentRetention;
use agentcore_sandbox::ScriptedStart;
use axum::http::StatusCode;

use super::{cancel, ended, invoke_async, invoke_with, location, request_with};
use crate::support::{Answer, TestHost, eventually, session_id};

#[tokio::test(start_paused = true)]
async fn an_answer_is_read_from_the_next_host_after_its_session_has_ended() {
    let host = TestHost::start().await;
    let session = session_id("a");
    let small = location(&invoke_async(&host, &session, "{}").await);
    let stream = location(&invoke_async(&host, &session, r#"{"do":"stream","items":3}"#).await);
    let before = [ended(&host, &small).await, ended(&host, &stream).await];
    host.request(axum::http::Method::POST, &format!("/_agentcore/v1/sessions/{session}/stop")).await;
    let host = host.restart().await;
    assert_eq!([ended(&host, &small).await, ended(&host, &stream).await], before);
    assert_eq!(host.get(&format!("{small}/answer")).await.text, r#"{"count":1}"#);
    assert_eq!(host.get(&format!("{stream}/answer")).await.text, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_ran_is_interrupted_and_keeps_what_had_come_in() {
    let host = TestHost::start().await;
    let session = session_id("a");
    let stream = location(&invoke_async(&host, &session, r#"{"do":"stream","items":100}"#).await);
    let plain = location(&invoke_async(&host, &session, r#"{"do":"sleep","ms":100000}"#).await);
    eventually("it streams", async || host.get(&stream).await.json()["answer"]["bytes"].as_u64() > Some(9))
        .await;
    let host = host.restart().await;
    for location in [&stream, &plain] {
        let record = host.get(location).await.json();
        assert_eq!(record["state"], "interrupted");
        assert!(record["reason"].as_str().unwrap().contains("the host"), "{record}");
    }
    let record = host.get(&stream).await.json();
    assert_eq!(record["answer"]["complete"], false);
    let events = host.get(&format!("{stream}/events")).await;
    assert!(events.text.starts_with("data: 0\nid: 1\n\ndata: 1\nid: 2\n\n"), "{events:?}");
    assert!(events.text.contains("event: end"));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_no_agent_had_is_begun_by_the_next_host() {
    let host = TestHost::start().await;
    host.kind.script_next_start(ScriptedStart::Hang);
    let location = location(&invoke_async(&host, &session_id("a"), "{}").await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(host.get(&location).await.json()["state"], "accepted");
    let host = host.restart().await;
    let record = ended(&host, &location).await;
    assert_eq!((&record["state"], &record["answer"]["body"]["count"]), (&"completed".into(), &1.into()));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_for_a_limit_holds_up_nobody_elses() {
    let host = TestHost::start().await;
    let (crowded, other) = (session_id("a"), session_id("b"));
    host.kind.script_next_start(ScriptedStart::Hang);
    let mut asked = Vec::new();
    for _ in 0..3 {
        let payload = r#"{"do":"sleep","ms":100000}"#;
        asked.push(location(&invoke_async(&host, &crowded, payload).await));
    }
    host.kind.script_next_start(ScriptedStart::Hang);
    let key = ("idempotency-key", "one");
    let mut request = request_with(&host, &other, key, "{}");
    request.headers_mut().insert("prefer", "respond-async".parse().unwrap());
    let elsewhere = location(&Answer::of(host.send(request).await).await);
    // Until both starts hang: one that did not would leave what it was to do to the next host.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut host = host;
    host.options.limits.requests_per_session = 1;
    let host = host.restart().await;
    assert_eq!(ended(&host, &elsewhere).await["state"], "completed");
    assert_eq!(invoke_with(&host, &other, key, "{}").await.text, r#"{"count":1}"#);
    for location in &asked {
        let cancelled = cancel(&host, location).await;
        assert_eq!((cancelled.status, &cancelled.json()["state"]), (StatusCode::OK, &"cancelled".into()));
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_past_its_time_or_too_much_is_forgotten_with_its_files() {
    let host = TestHost::start_with(|options| {
        // What an agent says of itself goes before it.
        options.retention.invocations_per_agent = 1;
        options.agents[0].retention =
            Some(AgentRetention { invocations: Some(3), ..AgentRetention::default() });
        options.retention.invocation_age = Duration::from_secs(3_600);
    })
    .await;
    let files = host.folder.path().join("invocations");
    let count = || std::fs::read_dir(&files).unwrap().count();
    let mut locations = Vec::new();
    for _ in 0..5 {
        let payload = r#"{"do":"stream","items":1}"#;
        locations.push(location(&invoke_async(&host, &session_id("a"), payload).await));
        ended(&host, locations.last().unwrap()).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_secs(61)).await;
    let known = async |location: &str| host.get(location).await.status == StatusCode::OK;
    eventually("the oldest two are forgotten", async || count() == 3).await;
    assert!(!known(&locations[1]).await && known(&locations[2]).await);
    tokio::time::sleep(Duration::from_secs(3_700)).await;
    eventually("all are forgotten", async || count() == 0).await;
    assert!(!known(&locations[4]).await);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_oldest_answers_go_when_all_together_are_too_large() {
    let host = TestHost::start_with(|options| options.retention.answer_bytes_per_agent = 50_000).await;
    let mut locations = Vec::new();
    // Those of 20,000 bytes are in files, the others in the database.
    let (small, large) = (r#"{"do":"large","bytes":10000}"#, r#"{"do":"large","bytes":20000}"#);
    for payload in [small, large, r#"{"do":"sleep","ms":1}"#, small, small, large] {
        locations.push(location(&invoke_async(&host, &session_id("a"), payload).await));
        ended(&host, locations.last().unwrap()).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_secs(61)).await;
    let mut left = Vec::new();
    eventually("the oldest of them is forgotten", async || {
        left.clear();
        for location in &locations {
            left.push(host.get(location).await.status == StatusCode::OK);
        }
        left.contains(&false)
    })
    .await;
    assert_eq!(left, [false, false, true, true, true, true]);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn files_that_belong_to_nobody_are_swept_when_a_host_starts() {
    let host = TestHost::start().await;
    let folder = host.folder.path().join("invocations");
    let stream = location(&invoke_async(&host, &session_id("a"), r#"{"do":"stream","items":1}"#).await);
    ended(&host, &stream).await;
    std::fs::write(folder.join("018b0000-0000-739b-aea5-966c26f8ad91.answer"), "left").unwrap();
    let host = host.restart().await;
    let count = || std::fs::read_dir(&folder).unwrap().count();
    eventually("it is swept", async || count() == 1).await;
    assert_eq!(host.get(&format!("{stream}/answer")).await.text, "data: 0\n\n");
    host.end().await;
}
