//! Answers that come piece by piece, and callers that leave. Over real sockets where it matters.

use std::time::Duration;

use axum::http::StatusCode;
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::support::{TestHost, eventually, session_id};

#[tokio::test(start_paused = true)]
async fn events_arrive_as_they_are_sent() {
    let host = TestHost::start().await;
    let session = session_id("stream");
    let mut response = host.send(host.invocation(&session, r#"{"do":"stream","items":4}"#)).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let begun = Instant::now();
    let mut arrivals = Vec::new();
    while let Some(frame) = response.body_mut().frame().await {
        let data = frame.unwrap().into_data().unwrap();
        arrivals.push((String::from_utf8(data.to_vec()).unwrap(), begun.elapsed().as_secs()));
    }
    let expected: Vec<_> = (0..4).map(|item| (format!("data: {item}\n\n"), item)).collect();
    assert_eq!(arrivals, expected);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_its_session_busy_and_a_caller_that_leaves_it_ends_it() {
    let host = TestHost::start().await;
    let session = session_id("left_stream");
    let mut response = host.send(host.invocation(&session, r#"{"do":"stream","items":1000}"#)).await;
    for _ in 0..90 {
        response.body_mut().frame().await.unwrap().unwrap();
    }
    assert_eq!(host.state(&session).await, "active");
    drop(response);
    let mind = host.behaviour.mind(&host.kind.agents()[0]);
    eventually("the agent learns of it", async || *mind.dropped_streams.lock().unwrap() == 1).await;
    assert_eq!(host.show(&session).await["in_flight"], 0);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_invocation_whose_caller_leaves_runs_on_and_is_busy() {
    let host = TestHost::start().await;
    let session = session_id("left");
    host.invoke(&session, "{}").await;
    let call = host.invoke(&session, r#"{"do":"sleep","ms":100000}"#);
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    tokio::time::sleep(Duration::from_secs(90)).await;
    let shown = host.show(&session).await;
    assert_eq!((&shown["state"], &shown["in_flight"]), (&"active".into(), &1.into()));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(*host.behaviour.mind(&host.kind.agents()[0]).finished.lock().unwrap(), 2);
    let shown = host.show(&session).await;
    assert_eq!((&shown["state"], &shown["in_flight"]), (&"idle".into(), &0.into()));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_take_only_so_long() {
    let host = TestHost::start_with(|options| options.timeouts.stream = Duration::from_secs(30)).await;
    let session = session_id("endless");
    let response = host.send(host.invocation(&session, r#"{"do":"stream","items":1000}"#)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let error = response.into_body().collect().await.unwrap_err();
    assert!(error.to_string().contains("took more than 30 s"), "{error}");
    host.end().await;
}
