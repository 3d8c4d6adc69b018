//! What goes through the ASGI application although Rust is the server: WebSockets, an author's own
//! routes, and, when there is middleware, invocations too. Without any of these there need be no
//! such application; what it would do about a slash too many is done here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, WebSocketUpgrade};
use axum::response::IntoResponse;
use bedrock_agentcore::embed::{BoxFuture, Front, Peer, RawAnswer};
use bedrock_agentcore::{Response, StatusCode};
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Limited};

use crate::exchange::{Exchange, Head};
use crate::lanes::{EventLoop, Job, Lane, Workers};
use crate::socket;

/// Largest body of a request, as for invocations.
const MOST_BYTES: usize = 100_000_000;

/// Nothing goes through the ASGI application.
pub(crate) const NOTHING: u8 = 0;
/// Everything but invocations does.
pub(crate) const OTHER_PATHS: u8 = 1;
/// Everything does.
pub(crate) const EVERYTHING: u8 = 2;

pub(crate) struct AsgiFront {
    share: AtomicU8,
    workers: Arc<Workers>,
    event_loop: Arc<EventLoop>,
}

impl AsgiFront {
    pub(crate) fn new(workers: Arc<Workers>, event_loop: Arc<EventLoop>) -> Self {
        Self { share: AtomicU8::new(NOTHING), workers, event_loop }
    }

    pub(crate) fn set_share(&self, share: u8) {
        self.share.store(share.min(EVERYTHING), Ordering::Release);
    }

    async fn answer_http(request: Request<Body>, lanes: (Lane, Lane)) -> Response {
        let (parts, body) = request.into_parts();
        let body = match Limited::new(body, MOST_BYTES).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(_) => Bytes::new(),
        };
        let peer = parts.extensions.get::<Peer>().copied();
        let head = Head { method: parts.method, uri: parts.uri, headers: parts.headers, peer };
        let (exchange, answer) = Exchange::new(body, head, None, None, lanes.clone());
        lanes.1.push(Job::Exchange(Box::new(exchange)));
        match answer.await {
            Ok(RawAnswer::Response(response)) => *response,
            // It was dropped: the application returned without an answer, and said so in the log.
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error").into_response(),
        }
    }

    async fn answer_websocket(request: Request<Body>, event_loop: Arc<EventLoop>) -> Response {
        let (mut parts, _) = request.into_parts();
        let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade.max_message_size(MOST_BYTES),
            Err(rejection) => return rejection.into_response(),
        };
        let peer = parts.extensions.get::<Peer>().copied();
        let head = Head { method: parts.method, uri: parts.uri, headers: parts.headers, peer };
        socket::open(upgrade, head, event_loop).await
    }
}

impl Front for AsgiFront {
    fn takes(&self, method: &Method, uri: &Uri) -> bool {
        match self.share.load(Ordering::Acquire) {
            NOTHING => without_slash(uri.path()).is_some(),
            OTHER_PATHS => uri.path() != "/invocations" && (uri.path() != "/ws" || method == Method::GET),
            _ => true,
        }
    }

    fn answer(&self, request: Request<Body>) -> BoxFuture<Response> {
        if self.share.load(Ordering::Acquire) == NOTHING {
            return Box::pin(std::future::ready(redirect(&request)));
        }
        let event_loop = Arc::clone(&self.event_loop);
        let upgrade = request.headers().get(header::UPGRADE);
        if upgrade.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket")) {
            return Box::pin(Self::answer_websocket(request, event_loop));
        }
        let lanes = (Lane::Workers(Arc::clone(&self.workers)), Lane::Loop(event_loop));
        Box::pin(Self::answer_http(request, lanes))
    }
}

/// The path that is meant by one with slashes at its end.
fn without_slash(path: &str) -> Option<&str> {
    let meant = path.strip_suffix('/')?.trim_end_matches('/');
    matches!(meant, "/invocations" | "/ping").then_some(meant)
}

/// Where to go instead, as Starlette says it.
fn redirect(request: &Request<Body>) -> Response {
    let (uri, host) = (request.uri(), request.headers().get(header::HOST));
    let host = host.and_then(|host| host.to_str().ok()).map(|host| format!("http://{host}"));
    let path = without_slash(uri.path()).unwrap_or_else(|| uri.path());
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}{path}{query}", host.unwrap_or_default());
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response()
}
