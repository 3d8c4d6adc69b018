//! The same key, the same invocation.

use axum::http::StatusCode;
use http_body_util::BodyExt;

use super::{ended, invoke_with, location, request_with};
use crate::support::{Answer, TestHost, session_id};

const KEY: (&str, &str) = ("idempotency-key", "\"order-1\"");

#[tokio::test(start_paused = true)]
async fn a_retry_joins_what_runs_and_hears_what_is_done_also_from_the_next_host() {
    let host = TestHost::start().await;
    let session = session_id("a");
    let payload = r#"{"do":"sleep","ms":3000}"#;
    let (first, second) =
        tokio::join!(invoke_with(&host, &session, KEY, payload), invoke_with(&host, &session, KEY, payload),);
    let host = host.restart().await;
    let third = invoke_with(&host, &session, KEY, payload).await;
    for answer in [&first, &second, &third] {
        assert_eq!((answer.status, &*answer.text), (StatusCode::OK, r#"{"count":1}"#));
        assert_eq!(answer.headers["agentcore-invocation-id"], first.headers["agentcore-invocation-id"]);
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_with_another_request_is_refused() {
    let host = TestHost::start().await;
    let session = session_id("a");
    assert_eq!(invoke_with(&host, &session, KEY, "{}").await.status, StatusCode::OK);
    for (session, payload) in [(&session, r#"{"a":1}"#), (&session_id("b"), "{}")] {
        let refused = invoke_with(&host, session, KEY, payload).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text.contains("new key"), "{refused:?}");
    }
    let bad = invoke_with(&host, &session, ("idempotency-key", "two words"), "{}").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert!(bad.text.contains("visible ASCII"), "{bad:?}");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_key_comes_as_the_agent_says_it_and_goes_on_without_its_caller() {
    let host = TestHost::start().await;
    let session = session_id("a");
    let payload = r#"{"do":"stream","items":3}"#;
    let leaves = host.send(request_with(&host, &session, KEY, payload)).await;
    assert_eq!(leaves.headers()["content-type"], "text/event-stream; charset=utf-8");
    drop(leaves);
    let joins = invoke_with(&host, &session, KEY, payload).await;
    assert_eq!(joins.text, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    let again = invoke_with(&host, &session, KEY, payload).await;
    assert_eq!(again.text, joins.text);
    let mind = host.behaviour.mind(&host.kind.agents()[0]);
    assert_eq!((*mind.invocations.lock().unwrap(), *mind.dropped_streams.lock().unwrap()), (1, 0));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_an_answer_that_broke_off_breaks_off_where_the_first_one_did() {
    let host = TestHost::start().await;
    for _ in 0..2 {
        let answer = host.send(request_with(&host, &session_id("a"), KEY, r#"{"do":"break"}"#)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let mut body = answer.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "the beginning");
        assert!(body.frame().await.unwrap().is_err(), "it has no end");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_does_not_wait_is_told_where_to_look() {
    let host = TestHost::start().await;
    let ask = async || {
        let mut request = request_with(&host, &session_id("a"), KEY, r#"{"do":"sleep","ms":100}"#);
        request.headers_mut().insert("prefer", "respond-async".parse().unwrap());
        Answer::of(host.send(request).await).await
    };
    let (first, second) = (ask().await, ask().await);
    assert_eq!(location(&first), location(&second));
    ended(&host, &location(&first)).await;
    assert_eq!(ask().await.text, r#"{"count":1}"#);
    host.end().await;
}
