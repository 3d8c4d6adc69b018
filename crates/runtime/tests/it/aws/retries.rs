//! Retries of SDKs, by their `amz-sdk-invocation-id`.

use std::time::Duration;

use agentcore_protocol::headers::SESSION_ID;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use tokio::time::{sleep, timeout};

use super::{error, signed};
use crate::support::{Answer, TestHost, eventually, session_id};

const SECOND: Duration = Duration::from_secs(1);

fn attempt(id: &str, session: &str, payload: &'static str) -> Request<Body> {
    let headers = [("amz-sdk-invocation-id", id), (SESSION_ID, session)];
    signed("POST /runtimes/tester/invocations", &headers, payload)
}

async fn answer(host: &TestHost, id: &str, session: &str, payload: &'static str) -> Answer {
    Answer::of(host.send(attempt(id, session, payload)).await).await
}

#[tokio::test(start_paused = true)]
async fn a_retry_joins_what_runs_and_hears_what_ran() {
    let host = TestHost::start().await;
    let session = session_id("retried");
    let sleepy = r#"{"do":"sleep","ms":5000}"#;
    let gone = timeout(2 * SECOND, answer(&host, "one", &session, sleepy)).await;
    assert!(gone.is_err(), "the client has left");
    let joined = answer(&host, "one", &session, sleepy).await;
    assert_eq!(joined.json()["count"], 1);
    sleep(30 * SECOND).await;
    let heard = answer(&host, "one", &session, sleepy).await;
    assert_eq!(
        (heard.json()["count"].clone(), &heard.headers[SESSION_ID]),
        (1.into(), &joined.headers[SESSION_ID])
    );
    assert_eq!(answer(&host, "two", &session, "{}").await.json()["count"], 2, "another call");
    assert_eq!(answer(&host, "one", &session_id("else"), "{}").await.json()["count"], 1, "another session");
    sleep(300 * SECOND).await;
    assert_eq!(
        answer(&host, "one", &session, "{}").await.json()["count"],
        1,
        "forgotten, and so is the session"
    );
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_id_with_another_payload_is_no_retry() {
    let host = TestHost::start().await;
    let session = session_id("reused");
    answer(&host, "one", &session, "{}").await;
    let other = answer(&host, "one", &session, r#"{"other":1}"#).await;
    error(&other, 400, "ValidationException");
    assert_eq!(other.json()["reason"], "IdempotentParameterMismatchException");
    assert_eq!(answer(&host, "one", &session, "{}").await.json()["count"], 1);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_is_run_once_whether_it_is_durable_or_not() {
    let host = TestHost::start().await;
    let session = session_id("mixed");
    let durable = async |host: &TestHost, id| {
        let mut request = attempt(id, &session, "{}");
        request.headers_mut().insert("prefer", "respond-async, wait=9".parse().unwrap());
        Answer::of(host.send(request).await).await
    };
    answer(&host, "plain", &session, "{}").await;
    error(&durable(&host, "plain").await, 409, "ConflictException");
    assert_eq!(durable(&host, "durable").await.json()["count"], 2);
    error(&answer(&host, "durable", &session, "{}").await, 409, "ConflictException");
    let host = host.restart().await;
    error(&answer(&host, "durable", &session, "{}").await, 409, "ConflictException");
    assert_eq!(durable(&host, "durable").await.json()["count"], 2);
    assert_eq!(answer(&host, "another", &session, "{}").await.json()["count"], 3);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_agent_is_not_run_again_either() {
    let host = TestHost::start().await;
    let session = session_id("failed");
    for _ in 0..2 {
        error(&answer(&host, "one", &session, r#"{"do":"fail"}"#).await, 424, "RuntimeClientError");
    }
    assert_eq!(answer(&host, "two", &session, "{}").await.json()["count"], 2);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_reached_no_agent_is_run_by_the_next_attempt() {
    let host = TestHost::start_with(|options| options.limits.sessions = 1).await;
    let (first, second) = (session_id("first"), session_id("second"));
    answer(&host, "one", &first, "{}").await;
    error(&answer(&host, "two", &second, "{}").await, 402, "ServiceQuotaExceededException");
    let stop = signed("POST /runtimes/tester/stopruntimesession", &[(SESSION_ID, &first)], "");
    host.send(stop).await;
    sleep(SECOND).await;
    assert_eq!(answer(&host, "two", &second, "{}").await.json()["count"], 1);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_joined_an_attempt_that_reached_no_agent_is_told_to_try_again() {
    let host = TestHost::start_with(|options| options.limits.sessions = 1).await;
    let (first, second) = (session_id("first"), session_id("second"));
    answer(&host, "one", &first, "{}").await;
    let attempt = || answer(&host, "two", &second, "{}");
    let (begun, joined) = tokio::join!(attempt(), attempt());
    error(&begun, 402, "ServiceQuotaExceededException");
    // SDKs send this again by themselves; the quota's error they do not.
    error(&joined, 409, "RetryableConflictException");
    let stop = signed("POST /runtimes/tester/stopruntimesession", &[(SESSION_ID, &first)], "");
    host.send(stop).await;
    sleep(SECOND).await;
    assert_eq!(attempt().await.json()["count"], 1);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_passed_on_as_it_comes_and_cancelled_when_its_last_listener_leaves() {
    let host = TestHost::start().await;
    let session = session_id("streamed");
    let stream = r#"{"do":"stream","items":100}"#;
    let mut heard = host.send(attempt("one", &session, stream)).await.into_body();
    for item in 0..3 {
        let event = heard.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(event, format!("data: {item}\n\n"));
    }
    let mind = host.behaviour.mind(&host.kind.agents()[0]);
    assert_eq!(*mind.dropped_streams.lock().unwrap(), 0);
    drop(heard);
    eventually("the agent hears of it", async || *mind.dropped_streams.lock().unwrap() == 1).await;
    assert_eq!(
        answer(&host, "two", &session, r#"{"do":"stream","items":2}"#).await.text,
        "data: 0\n\ndata: 1\n\n"
    );
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_to_be_kept_reaches_its_reader_whole() {
    let host = TestHost::start().await;
    let session = session_id("large");
    let bytes = 40 * 1024 * 1024;
    let payload = r#"{"do":"large","bytes":41943040}"#;
    let first = host.send(attempt("one", &session, payload)).await;
    let read = first.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(read.len(), bytes);
    error(&answer(&host, "one", &session, payload).await, 409, "ConflictException");
    host.end().await;
}
