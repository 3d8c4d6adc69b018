//! A host on several threads, each with some of the callers.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use crate::support::{Serving, TestHost, eventually};

/// A caller that keeps its connection.
struct Caller(SendRequest<Body>);

impl Caller {
    async fn to(host: &Serving) -> Self {
        let (sender, connection) = handshake(TokioIo::new(host.connect().await)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn invoke(&mut self, payload: &'static str) -> String {
        let request = Request::post("/invocations").header("host", "localhost").body(payload.into()).unwrap();
        let answer = self.0.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_on_two_threads_reach_one_session_each_over_connections_of_its_thread() {
    let host = TestHost::start().await.serve();
    let mut callers = [Caller::to(&host).await, Caller::to(&host).await];
    assert_eq!(callers[0].invoke("{}").await, r#"{"count":1}"#);
    assert_eq!(callers[1].invoke("{}").await, r#"{"count":2}"#);
    let connection = r#"{"do":"connection"}"#;
    let first = [callers[0].invoke(connection).await, callers[1].invoke(connection).await];
    assert_ne!(first[0], first[1]);
    for _ in 0..3 {
        let again = [callers[0].invoke(connection).await, callers[1].invoke(connection).await];
        assert_eq!(again, first, "a connection that rests is used again where it was opened");
    }
    drop(callers);
    let kind = host.kind.clone();
    host.end().await;
    assert_eq!(kind.running(), 1, "left to the next host");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_a_host_that_stops_get_their_answers_first() {
    let host = TestHost::start().await.serve();
    let mut callers = Vec::new();
    for _ in 0..8 {
        callers.push(Caller::to(&host).await);
    }
    let (told, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let calls: Vec<_> = callers
        .into_iter()
        .map(|mut caller| {
            let told = told.clone();
            tokio::spawn(async move {
                assert!(caller.invoke("{}").await.contains("count"));
                told.send(()).unwrap();
                caller.invoke(r#"{"do":"sleep","ms":200}"#).await
            })
        })
        .collect();
    for _ in 0..8 {
        begun.recv().await.unwrap();
    }
    let mind = host.behaviour.mind(&host.kind.agents()[0]);
    eventually("all are under way", async || *mind.invocations.lock().unwrap() == 16).await;
    host.end().await;
    for call in calls {
        assert!(call.await.unwrap().contains("count"));
    }
}
