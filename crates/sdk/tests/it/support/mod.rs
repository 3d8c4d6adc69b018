//! What the tests share.

mod client;
mod server;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use bedrock_agentcore::{App, AppService, Body, Clock, Response, StatusCode, Timestamp};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

pub(crate) use self::client::Client;
pub(crate) use self::server::Server;

/// The session id that tests send.
pub(crate) const SESSION: &str = "session-0123456789-0123456789-0123456789";

/// Waits for `what`, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it should have happened by now")
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes();
        Self { status: head.status, headers: head.headers, body }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Status and text in one.
    pub(crate) fn brief(&self) -> (u16, &str) {
        (self.status.as_u16(), self.text())
    }
}

/// Sends a request through the service.
pub(crate) async fn send(service: &AppService, request: Request<Body>) -> Response {
    let Ok(response) = service.clone().oneshot(request).await;
    response
}

/// An invocation's request.
pub(crate) fn invocation(payload: impl Into<Body>) -> Request<Body> {
    Request::post("/invocations").body(payload.into()).expect("a request")
}

/// Invokes, and reads the whole answer.
pub(crate) async fn invoke(service: &AppService, payload: impl Into<Body>) -> Answer {
    Answer::of(send(service, invocation(payload)).await).await
}

/// Invokes an app of its own.
pub(crate) async fn invoke_app(app: App, payload: impl Into<Body>) -> Answer {
    invoke(&service(app), payload).await
}

pub(crate) fn service(app: App) -> AppService {
    app.into_service().expect("no journal is asked for")
}

/// What `/ping` says.
pub(crate) async fn ping(service: &AppService) -> Value {
    let request = Request::get("/ping").body(Body::empty()).expect("a request");
    Answer::of(send(service, request).await).await.json()
}

/// The status that `/ping` says.
pub(crate) async fn status(service: &AppService) -> String {
    ping(service).await["status"].as_str().expect("a status").to_owned()
}

/// A clock that tests move by hand. Clones show the same time.
#[derive(Clone, Default)]
pub(crate) struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub(crate) fn set_seconds(&self, seconds: u64) {
        self.0.store(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Sends a word when it is dropped.
pub(crate) struct TellsItsEnd(pub(crate) tokio::sync::mpsc::UnboundedSender<&'static str>);

impl Drop for TellsItsEnd {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}
