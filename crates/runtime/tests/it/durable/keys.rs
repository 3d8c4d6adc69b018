//! The same key, the same invocation.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use futures_util::future::join_all;
use futures_util::stream;
use http_body_util::BodyExt;

use super::{ended, invoke_with, location, request_with};
use crate::support::{Answer, TestHost, eventually, session_id};

const KEY: (&str, &str) = ("idempotency-key", "\"order-1\"");
const SLEEP: &str = r#"{"do":"sleep","ms":3000}"#;
const HOUR: Duration = Duration::from_secs(3_600);

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

#[tokio::test(start_paused = true)]
async fn a_key_is_free_again_once_its_invocation_is_deleted_or_past_its_time() {
    let host = TestHost::start_with(|options| options.retention.invocation_age = HOUR).await;
    let session = session_id("a");
    let first = invoke_with(&host, &session, KEY, "{}").await;
    let id = first.headers["agentcore-invocation-id"].to_str().unwrap();
    let deleted = host.request(Method::DELETE, &format!("/_agentcore/v1/invocations/{id}")).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    // With whatever payload.
    assert_eq!(invoke_with(&host, &session, KEY, r#"{"a":1}"#).await.text, r#"{"count":2}"#);
    tokio::time::sleep(HOUR + Duration::from_secs(120)).await;
    // With another payload it would be refused until then.
    eventually("the key is forgotten", async || {
        invoke_with(&host, &session, KEY, "{}").await.status == StatusCode::OK
    })
    .await;
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_is_known_to_the_next_version_of_the_agent() {
    let mut host = TestHost::start().await;
    let session = session_id("a");
    let first = invoke_with(&host, &session, KEY, "{}").await;
    host.options.agents[0].args.push("--new".into());
    let host = host.restart().await;
    let again = invoke_with(&host, &session, KEY, "{}").await;
    assert_eq!((again.status, &again.text), (StatusCode::OK, &first.text));
    assert_eq!(again.headers["agentcore-invocation-id"], first.headers["agentcore-invocation-id"]);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_bytes_are_the_same_request_however_they_are_sent() {
    let host = TestHost::start().await;
    let session = session_id("a");
    let first = invoke_with(&host, &session, KEY, r#"{"a":1}"#).await;
    let mut pieces = request_with(&host, &session, KEY, "");
    let sent = [r#"{"a""#, ":1}"].map(Ok::<_, std::io::Error>);
    *pieces.body_mut() = Body::from_stream(stream::iter(sent));
    let again = Answer::of(host.send(pieces).await).await;
    assert_eq!((again.status, again.text), (StatusCode::OK, first.text));
    // What means the same is another one: the host reads no payload.
    for another in [r#"{"a": 1}"#, "{\"a\":1}\n", r#"{"\u0061":1}"#] {
        let refused = invoke_with(&host, &session, KEY, another).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{another}");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_leaves_no_trace_of_its_key() {
    let host = TestHost::start_with(|options| options.limits.requests_per_session = 1).await;
    let session = session_id("a");
    let busy = location(&invoke_with(&host, &session, ("prefer", "respond-async"), SLEEP).await);
    let refused = invoke_with(&host, &session, KEY, "{}").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    ended(&host, &busy).await;
    assert_eq!(invoke_with(&host, &session, KEY, r#"{"a":1}"#).await.text, r#"{"count":2}"#);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn all_who_come_with_a_key_at_once_are_in_one_invocation() {
    let host = TestHost::start().await;
    let session = session_id("a");
    let all = join_all((0..20).map(|_| invoke_with(&host, &session, KEY, SLEEP))).await;
    for answer in &all {
        assert_eq!((answer.status, &*answer.text), (StatusCode::OK, r#"{"count":1}"#));
    }
    // The payload that comes second is refused, also while the first is being accepted.
    let key = ("idempotency-key", "order-2");
    let (one, other) =
        tokio::join!(invoke_with(&host, &session, key, SLEEP), invoke_with(&host, &session, key, "{}"));
    let mut statuses = [one.status, other.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::UNPROCESSABLE_ENTITY]);
    host.end().await;
}
