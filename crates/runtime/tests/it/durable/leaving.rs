//! Callers who leave before they are told anything.

use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode};
use futures_util::{StreamExt, poll, stream};

use super::{ended, invoke_with, request_with};
use crate::support::{TestHost, eventually, session_id};

/// Leaves after so many looks at what has become of the request.
async fn leave_after(host: &TestHost, looks: usize, header: (&str, &str), payload: &str) {
    let mut asked = pin!(host.send(request_with(host, &session_id("a"), header, payload)));
    for _ in 0..looks {
        if poll!(&mut asked).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn all(host: &TestHost) -> Vec<String> {
    let list = host.get("/_agentcore/v1/invocations?limit=1000").await.json();
    let ids = list["invocations"].as_array().unwrap().iter().map(|record| record["id"].as_str().unwrap());
    ids.map(|id| format!("/_agentcore/v1/invocations/{id}")).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_run_although_its_caller_has_left() {
    let host = TestHost::start().await;
    let folder = host.folder.path().join("invocations");
    let large = format!(r#"{{"pad":"{}"}}"#, "x".repeat(100_000));
    for looks in 1..12 {
        for payload in ["{}", &large] {
            leave_after(&host, looks, ("prefer", "respond-async"), payload).await;
        }
    }
    // Until what was begun is on record, or is not.
    tokio::time::sleep(Duration::from_secs(1)).await;
    eventually("no payload is left", async || std::fs::read_dir(&folder).unwrap().count() == 0).await;
    let all = all(&host).await;
    assert!(!all.is_empty());
    for location in &all {
        assert_eq!(ended(&host, location).await["state"], "completed");
        assert_eq!(host.request(Method::DELETE, location).await.status, StatusCode::NO_CONTENT);
    }
    let mind = host.behaviour.mind(&host.kind.agents()[0]);
    assert_eq!(*mind.invocations.lock().unwrap(), all.len() as u64);
    eventually("its session is at rest", async || host.state(&session_id("a")).await == "idle").await;
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_leaving_joins_what_was_begun() {
    let host = TestHost::start().await;
    for looks in 1..12 {
        let key = format!("key-{looks}");
        let key = ("idempotency-key", &*key);
        leave_after(&host, looks, key, "{}").await;
        let retried = invoke_with(&host, &session_id("a"), key, "{}").await;
        assert_eq!(retried.status, StatusCode::OK, "{looks}: {retried:?}");
    }
    let mind = host.behaviour.mind(&host.kind.agents()[0]);
    assert_eq!(*mind.invocations.lock().unwrap(), 11);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_within_the_payload_leaves_no_file() {
    let host = TestHost::start().await;
    let folder = host.folder.path().join("invocations");
    let count = || std::fs::read_dir(&folder).unwrap().count();
    let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 100_000]))]);
    let mut request = host.invocation(&session_id("a"), Body::from_stream(begun.chain(stream::pending())));
    request.headers_mut().insert("prefer", "respond-async".parse().unwrap());
    let mut asked = Box::pin(host.send(request));
    eventually("the payload comes in", async || {
        assert!(poll!(&mut asked).is_pending());
        count() == 1
    })
    .await;
    drop(asked);
    eventually("it is gone", async || count() == 0).await;
    assert!(all(&host).await.is_empty());
    host.end().await;
}
