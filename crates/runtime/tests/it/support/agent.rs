//! An agent in memory. What it does with an invocation, the payload says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentcore_protocol::{Clock, PingStatus};
use agentcore_sandbox::{ExitStatus, InMemoryAgent, InMemoryKind};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures_util::{SinkExt, StreamExt, stream};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

/// What all agents of a kind do, and what they have seen.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// Instead of HTTP, every connection is answered with this.
    pub(crate) raw: Mutex<Option<&'static [u8]>>,
    /// Instead of a status, pings are answered with this.
    pub(crate) ping: Mutex<Option<(u16, &'static str)>>,
    /// Connections to agents so far.
    connections: AtomicU64,
    minds: Mutex<HashMap<PathBuf, Arc<Mind>>>,
}

/// What one agent keeps in memory.
#[derive(Default)]
pub(crate) struct Mind {
    /// Invocations that have reached it.
    pub(crate) invocations: Mutex<u64>,
    busy: Mutex<bool>,
    /// Streams that were dropped before their end.
    pub(crate) dropped_streams: Mutex<u64>,
    /// Invocations that ran to their end.
    pub(crate) finished: Mutex<u64>,
}

impl Behaviour {
    pub(crate) fn mind(&self, agent: &InMemoryAgent) -> Arc<Mind> {
        self.minds.lock().unwrap().entry(agent.spec().folder.clone()).or_default().clone()
    }
}

/// A kind whose agents behave so.
pub(crate) fn agent_kind(clock: Arc<dyn Clock>, behaviour: Arc<Behaviour>) -> InMemoryKind {
    InMemoryKind::new(clock, move |agent, io| serve(behaviour.clone(), agent, io))
}

async fn serve(behaviour: Arc<Behaviour>, agent: InMemoryAgent, mut io: DuplexStream) {
    let raw = *behaviour.raw.lock().unwrap();
    if let Some(raw) = raw {
        let _ = io.read(&mut [0; 1024]).await;
        let _ = io.write_all(raw).await;
        return;
    }
    let connection = behaviour.connections.fetch_add(1, Ordering::Relaxed);
    let mind = behaviour.mind(&agent);
    let router = Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invoke))
        .route("/ws", get(echo))
        .route("/.well-known/agent-card.json", get(|| async { Json(json!({ "name": "tester" })) }))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(Extension(Connection(connection)))
        .with_state((behaviour, agent, mind));
    let served = http1::Builder::new()
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(router))
        .with_upgrades();
    let _ = served.await;
}

type Context = State<(Arc<Behaviour>, InMemoryAgent, Arc<Mind>)>;

async fn ping(State((behaviour, _, mind)): Context) -> Response {
    if let Some((status, body)) = *behaviour.ping.lock().unwrap() {
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    let status = PingStatus::busy_if(*mind.busy.lock().unwrap());
    Json(json!({ "status": status })).into_response()
}

/// Which one an agent was reached by.
#[derive(Clone, Copy)]
struct Connection(u64);

async fn invoke(
    State((_, agent, mind)): Context,
    Extension(Connection(connection)): Extension<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let payload: Value = serde_json::from_slice(&body).unwrap_or_default();
    *mind.invocations.lock().unwrap() += 1;
    match payload["do"].as_str() {
        Some("busy") => *mind.busy.lock().unwrap() = true,
        Some("rest") => *mind.busy.lock().unwrap() = false,
        Some("sleep") => {
            tokio::time::sleep(Duration::from_millis(payload["ms"].as_u64().unwrap())).await;
        }
        Some("fail") => {
            return (StatusCode::IM_A_TEAPOT, Json(json!({ "error": "short and stout" }))).into_response();
        }
        Some("exit") => {
            agent.write_log(b"last words\n");
            agent.exit(ExitStatus::Code(3));
            std::future::pending::<()>().await;
        }
        Some("headers") => {
            let seen: HashMap<_, _> = headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect();
            return Json(seen).into_response();
        }
        Some("connection") => return Json(connection).into_response(),
        Some("length") => return Json(json!({ "length": body.len() })).into_response(),
        Some("large") => return vec![b'x'; payload["bytes"].as_u64().unwrap() as usize].into_response(),
        Some("stream") => return events(mind, payload["items"].as_u64().unwrap()),
        Some("long_item") => return long_item(payload["bytes"].as_u64().unwrap() as usize),
        Some("break") => return broken(),
        _ => {}
    }
    *mind.finished.lock().unwrap() += 1;
    Json(json!({ "count": *mind.invocations.lock().unwrap() })).into_response()
}

/// Counts a stream as dropped unless it came to its end.
struct Watch(Arc<Mind>, bool);

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.1 {
            *self.0.dropped_streams.lock().unwrap() += 1;
        }
    }
}

/// One event per second.
fn events(mind: Arc<Mind>, items: u64) -> Response {
    let events = stream::unfold((0, Watch(mind, false)), move |(item, mut watch)| async move {
        if item == items {
            watch.1 = true;
            drop(watch);
            return None;
        }
        if item > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Some((Ok::<_, Infallible>(format!("data: {item}\n\n")), (item + 1, watch)))
    });
    ([("content-type", "text/event-stream; charset=utf-8")], Body::from_stream(events)).into_response()
}

/// A long event between two short ones.
fn long_item(bytes: usize) -> Response {
    let text = format!("data: 1\n\ndata: {}\n\ndata: 3\n\n", "x".repeat(bytes));
    ([("content-type", "text/event-stream")], text).into_response()
}

/// Sends every message back; at `fail` it closes as a handler that failed does.
async fn echo(headers: HeaderMap, mut request: Request) -> Response {
    if headers.contains_key("x-amzn-bedrock-agentcore-runtime-custom-refuse") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let accept = derive_accept_key(headers["sec-websocket-key"].as_bytes());
    let session = headers["x-amzn-bedrock-agentcore-runtime-session-id"].to_str().unwrap().to_owned();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let io = TokioIo::new(upgrade.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        socket.send(Message::text(session)).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message == Message::text("fail") {
                let frame = CloseFrame { code: CloseCode::Error, reason: "failed".into() };
                let _ = socket.close(Some(frame)).await;
            } else if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let switch = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", &accept)];
    (StatusCode::SWITCHING_PROTOCOLS, switch).into_response()
}

/// A body that ends in the middle.
fn broken() -> Response {
    let end = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(std::io::Error::other("and no end"))
    };
    Body::from_stream(stream::iter([Ok("the beginning")]).chain(stream::once(end))).into_response()
}
