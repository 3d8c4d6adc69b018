//! What callers may use.

use agentcore_protocol::agent::MAX_PAYLOAD_BYTES;
use axum::body::Body;
use axum::http::StatusCode;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Answer, TestHost, session_id};

#[tokio::test(start_paused = true)]
async fn sessions_beyond_the_limit_are_refused_until_one_ends() {
    let host = TestHost::start_with(|options| options.limits.sessions = 2).await;
    for name in ["one", "two"] {
        assert_eq!(host.invoke(&session_id(name), "{}").await.status, StatusCode::OK);
    }
    let refused = host.invoke(&session_id("three"), "{}").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(
        refused.json()["error"].as_str().unwrap().starts_with("this host runs 2 sessions"),
        "{refused:?}"
    );
    assert_eq!(host.invoke(&session_id("one"), "{}").await.status, StatusCode::OK);
    tokio::time::sleep(std::time::Duration::from_secs(70)).await;
    assert_eq!(host.invoke(&session_id("three"), "{}").await.status, StatusCode::OK);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn new_sessions_come_at_a_rate() {
    let host = TestHost::start_with(|options| options.limits.new_sessions_per_second = 3).await;
    let sessions: Vec<_> = (0..5).map(|number| session_id(&format!("burst{number}"))).collect();
    let burst =
        futures_util::future::join_all(sessions.iter().map(|session| host.invoke(session, "{}"))).await;
    let refused = burst.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).count();
    assert_eq!(refused, 2);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(host.invoke(&session_id("later"), "{}").await.status, StatusCode::OK);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_limited_per_session() {
    let host = TestHost::start_with(|options| options.limits.requests_per_session = 2).await;
    let session = session_id("popular");
    let elsewhere = session_id("other");
    let slow = || host.invoke(&session, r#"{"do":"sleep","ms":5000}"#);
    let (first, second, third, other) = tokio::join!(slow(), slow(), slow(), host.invoke(&elsewhere, "{}"));
    assert_eq!([first.status, second.status, other.status], [StatusCode::OK; 3]);
    assert_eq!(third.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(third.json()["error"].as_str().unwrap().contains("2 requests in flight"), "{third:?}");
    assert_eq!(slow().await.status, StatusCode::OK);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_announces_too_much_is_refused_before_anything_begins() {
    let host = TestHost::start().await;
    let mut request = host.invocation(&session_id("large"), "{}");
    request.headers_mut().insert("content-length", (MAX_PAYLOAD_BYTES + 1).into());
    let answer = Answer::of(host.send(request).await).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(host.kind.agents().is_empty());
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_turns_out_too_large_is_refused_and_the_largest_is_not() {
    let host = TestHost::start().await;
    let session = session_id("large");
    let mebibytes = |count: usize, rest: usize| {
        let piece = bytes::Bytes::from(vec![b' '; 1 << 20]);
        let pieces = (0..count).map(move |_| piece.clone()).chain([bytes::Bytes::from(vec![b' '; rest])]);
        Body::from_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)))
    };
    let whole = MAX_PAYLOAD_BYTES >> 20;
    let rest = MAX_PAYLOAD_BYTES - (whole << 20);
    let fits = Answer::of(host.send(host.invocation(&session, mebibytes(whole, rest))).await).await;
    assert_eq!(fits.status, StatusCode::OK);
    let exceeds = Answer::of(host.send(host.invocation(&session, mebibytes(whole, rest + 1))).await).await;
    assert_eq!(exceeds.status, StatusCode::PAYLOAD_TOO_LARGE, "{exceeds:?}");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_ends_early_is_the_callers_fault() {
    let host = TestHost::start().await;
    let session = session_id("cut");
    host.invoke(&session, "{}").await;
    let pieces = [Ok("{"), Err(std::io::Error::other("the caller has gone"))];
    let body = Body::from_stream(stream::iter(pieces));
    let answer = Answer::of(host.send(host.invocation(&session, body)).await).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_principal_come_at_a_rate() {
    let host = TestHost::start_with(|options| options.limits.requests_per_second = Some(2)).await;
    for _ in 0..2 {
        assert_eq!(host.get("/ping").await.status, StatusCode::OK);
    }
    let refused = host.get("/ping").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "1");
    let refused = host.request(axum::http::Method::POST, "/runtimes/").await;
    assert_eq!(refused.headers["x-amzn-errortype"], "ThrottlingException");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(host.get("/ping").await.status, StatusCode::OK);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_stops_sending_is_let_go_of() {
    let host = TestHost::start().await.serve();
    let mut caller = host.connect().await;
    let head = "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{";
    caller.write_all(head.as_bytes()).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut answer = Vec::new();
    let _ = caller.read_to_end(&mut answer).await;
    assert!(began.elapsed() <= std::time::Duration::from_secs(60), "{:?}", began.elapsed());
    host.end().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_or_has_too_many_headers_is_refused() {
    let host = TestHost::start().await.serve();
    let begin = "GET /ping HTTP/1.1\r\nhost: localhost\r\n";
    // What the host does not read would have the system throw its answer away: exactly the most.
    let large = format!("{begin}x-large: {}", "x".repeat(128 * 1024 - begin.len() - "x-large: ".len()));
    for head in [large, format!("{begin}{}\r\n", "x: y\r\n".repeat(200))] {
        let mut caller = host.connect().await;
        caller.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        caller.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
    host.end().await;
}
