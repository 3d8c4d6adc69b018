//! Asked for without waiting, and read later.

use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::{cancel, ended, invoke_async, invoke_with, location};
use crate::support::{Answer, TestHost, eventually, session_id};

#[tokio::test(start_paused = true)]
async fn an_invocation_is_acknowledged_and_its_answer_is_read_later() {
    let host = TestHost::start().await;
    let session = session_id("a");
    let asked = invoke_async(&host, &session, r#"{"do":"sleep","ms":5000}"#).await;
    let location = location(&asked);
    assert_eq!(asked.headers["preference-applied"], "respond-async");
    assert_eq!(asked.headers["x-amzn-bedrock-agentcore-runtime-session-id"], session.as_str());
    assert!(asked.is_new_session());
    let status = asked.json();
    assert_eq!((&status["state"], &status["answer"]), (&"accepted".into(), &serde_json::Value::Null));
    eventually("it runs", async || host.get(&location).await.json()["state"] == "running").await;
    assert_eq!(host.get(&format!("{location}/answer")).await.status, StatusCode::ACCEPTED);
    assert_eq!(host.state(&session).await, "active", "an invocation in flight keeps its session busy");

    let record = ended(&host, &location).await;
    assert_eq!(record["state"], "completed");
    assert_eq!(record["answer"]["status"], 200);
    assert_eq!(record["answer"]["body"], serde_json::json!({ "count": 1 }));
    let times = ["accepted_at", "started_at", "ended_at"].map(|name| record[name].as_u64().unwrap());
    assert!(times.is_sorted() && times[2] - times[1] >= 5_000, "{times:?}");
    let answer = host.get(&format!("{location}/answer")).await;
    assert_eq!((answer.status, &*answer.text), (StatusCode::OK, r#"{"count":1}"#));
    assert_eq!(answer.headers["content-type"], "application/json");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_waits_a_little_gets_the_answer_if_it_comes_in_time() {
    let host = TestHost::start().await;
    let prefer = ("prefer", "respond-async, wait=5");
    let quick = invoke_with(&host, &session_id("a"), prefer, "{}").await;
    assert_eq!((quick.status, &*quick.text), (StatusCode::OK, r#"{"count":1}"#));
    assert_eq!(quick.headers["preference-applied"], "respond-async");
    let slow = invoke_with(&host, &session_id("a"), prefer, r#"{"do":"sleep","ms":6000}"#).await;
    assert_eq!(slow.json()["state"], "running");
    assert_eq!(ended(&host, &location(&slow)).await["state"], "completed");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn it_may_take_longer_than_a_caller_waits_and_has_a_limit_of_its_own() {
    let host = TestHost::start_with(|options| {
        options.timeouts.answer = Duration::from_secs(1);
        options.timeouts.stream = Duration::from_secs(1);
        options.timeouts.durable = Duration::from_secs(10);
    })
    .await;
    for (payload, state) in [
        (r#"{"do":"sleep","ms":9000}"#, "completed"),
        (r#"{"do":"stream","items":9}"#, "completed"),
        (r#"{"do":"sleep","ms":11000}"#, "failed"),
        (r#"{"do":"stream","items":12}"#, "failed"),
    ] {
        let record = ended(&host, &location(&invoke_async(&host, &session_id("a"), payload).await)).await;
        assert_eq!(record["state"], state, "{record}");
        let took_too_long = record["reason"] == "it took longer than 10 s";
        assert_eq!(took_too_long, state == "failed", "{record}");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_query_that_cannot_be_read_is_answered_like_any_other_mistake() {
    let host = TestHost::start().await;
    let id = location(&invoke_async(&host, &session_id("a"), "{}").await);
    let list = "/_agentcore/v1/invocations";
    for path in [
        format!("{list}?limit=abc"),
        format!("{list}?state=nonsense"),
        format!("{id}?wait=abc"),
        format!("{id}?wait=NaN"),
        format!("{id}/answer?wait=-1"),
    ] {
        let refused = host.get(&path).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(refused.json()["error"].is_string(), "{path}");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agents_error_is_kept_as_it_was() {
    let host = TestHost::start().await;
    let failed = location(&invoke_async(&host, &session_id("a"), r#"{"do":"fail"}"#).await);
    let record = ended(&host, &failed).await;
    assert_eq!((&record["state"], &record["answer"]["status"]), (&"failed".into(), &418.into()));
    let answer = host.get(&format!("{failed}/answer")).await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (418, r#"{"error":"short and stout"}"#));

    let exited = location(&invoke_async(&host, &session_id("a"), r#"{"do":"exit"}"#).await);
    let record = ended(&host, &exited).await;
    assert_eq!((&record["state"], &record["answer"]), (&"interrupted".into(), &serde_json::Value::Null));
    assert!(record["reason"].as_str().unwrap().contains("code 3"), "{record}");
    let answer = host.get(&format!("{exited}/answer")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{answer:?}");

    let broken = location(&invoke_async(&host, &session_id("b"), r#"{"do":"break"}"#).await);
    let record = ended(&host, &broken).await;
    assert_eq!((&record["state"], &record["answer"]["complete"]), (&"failed".into(), &false.into()));
    assert_eq!(host.get(&format!("{broken}/answer")).await.text, "the beginning");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn large_payloads_and_answers_go_through_files_that_go_with_the_record() {
    let host = TestHost::start().await;
    let folder = host.folder.path().join("invocations");
    let files = || std::fs::read_dir(&folder).unwrap().count();
    let payload = format!(r#"{{"do":"length","pad":"{}"}}"#, "x".repeat(200_000));
    let large = location(&invoke_async(&host, &session_id("a"), &payload).await);
    assert_eq!(ended(&host, &large).await["answer"]["body"]["length"], payload.len());
    eventually("the payload is gone", async || files() == 0).await;

    let large = location(&invoke_async(&host, &session_id("a"), r#"{"do":"large","bytes":300000}"#).await);
    let record = ended(&host, &large).await;
    assert_eq!(record["answer"]["bytes"], 300_000);
    assert!(record["answer"].get("body").is_none());
    assert_eq!(host.get(&format!("{large}/answer")).await.text.len(), 300_000);
    assert_eq!(files(), 1);
    assert_eq!(host.request(Method::DELETE, &large).await.status, StatusCode::NO_CONTENT);
    assert_eq!(files(), 0);
    for path in [large.clone(), format!("{large}/answer"), format!("{large}/events")] {
        assert_eq!(host.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_agent_sees_its_client_leave_and_the_record_says_so() {
    let host = TestHost::start().await;
    let session = session_id("a");
    let location = location(&invoke_async(&host, &session, r#"{"do":"stream","items":100}"#).await);
    eventually("it streams", async || host.get(&location).await.json()["answer"]["bytes"].as_u64() > Some(9))
        .await;
    assert_eq!(host.request(Method::DELETE, &location).await.status, StatusCode::CONFLICT);
    for _ in 0..2 {
        let cancelled = cancel(&host, &location).await;
        assert_eq!((cancelled.status, &cancelled.json()["state"]), (StatusCode::OK, &"cancelled".into()));
    }
    let mind = host.behaviour.mind(&host.kind.agents()[0]);
    eventually("the agent sees it", async || *mind.dropped_streams.lock().unwrap() == 1).await;
    eventually("its session is at rest", async || host.state(&session).await == "idle").await;

    let done = super::location(&invoke_async(&host, &session, "{}").await);
    ended(&host, &done).await;
    let refused = cancel(&host, &done).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("it is completed"), "{refused:?}");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_newest_are_listed_first_page_by_page() {
    let host = TestHost::start().await;
    let mut locations = Vec::new();
    for number in 0..5 {
        let payload = if number == 2 { r#"{"do":"fail"}"# } else { "{}" };
        let session = session_id(if number % 2 == 0 { "even" } else { "odd" });
        let location = location(&invoke_async(&host, &session, payload).await);
        ended(&host, &location).await;
        locations.push(location.rsplit('/').next().unwrap().to_owned());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let list = async |query: &str| {
        let list = host.get(&format!("/_agentcore/v1/invocations{query}")).await.json();
        let ids = list["invocations"].as_array().unwrap().iter();
        let ids: Vec<_> = ids
            .map(|one| locations.iter().position(|id| *id == one["id"].as_str().unwrap()).unwrap())
            .collect();
        (ids, list["next"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").await, (vec![4, 3, 2, 1, 0], None));
    let (first, next) = list("?limit=2").await;
    assert_eq!(first, [4, 3]);
    assert_eq!(list(&format!("?limit=2&before={}", next.unwrap())).await.0, [2, 1]);
    assert_eq!(list(&format!("?session={}", session_id("odd"))).await.0, [3, 1]);
    assert_eq!(list("?state=failed&agent=tester").await.0, [2]);
    assert!(list("?agent=other").await.0.is_empty());
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_and_what_cannot_be_read_is_said_clearly() {
    let host = TestHost::start().await;
    let unknown = "/_agentcore/v1/invocations/0190163d-8694-739b-aea5-966c26f8ad91";
    for path in [unknown, "/_agentcore/v1/invocations/mine"] {
        let answer = host.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert!(answer.text.contains("Unknown invocation"), "{answer:?}");
    }
    let ordinary = invoke_with(&host, &session_id("a"), ("prefer", "handling=lenient"), "{}").await;
    assert_eq!(ordinary.status, StatusCode::OK);
    assert!(ordinary.headers.contains_key("agentcore-invocation-id"));
    assert!(!ordinary.headers.contains_key("preference-applied"));
    let _: Answer = ordinary;
    host.end().await;
}
