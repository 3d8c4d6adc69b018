//! The agent's HTTP service: three paths, and what each answers.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use agentcore_protocol::agent::{INVOCATIONS_PATH, PING_PATH, WEBSOCKET_PATH};
use agentcore_protocol::error::NO_ENTRYPOINT;
use axum::extract::ws::Utf8Bytes;
use axum::extract::{FromRequestParts, WebSocketUpgrade};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderValue, Method, Request, StatusCode};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tower_service::Service;
use tracing::{Instrument, Span};

use crate::debug;
use crate::embed::{Front, Interrupter};
use crate::entrypoint::{
    Answer, Attended, BlockingPool, ErasedHandler, Events, Handled, Invocation, PayloadError, RequestContext,
    accompany, check, decode, read_body,
};
use crate::health::{Health, Judge};
use crate::logs;
use crate::outcome::Failure;
use crate::respond::{self, Body, Response};
use crate::tasks::Tasks;
use crate::websocket::{self, ErasedWebSocketHandler};

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// An app as a [`tower::Service`](https://docs.rs/tower): call it in tests without a socket, or
/// nest it in a server of your own. Cheap to clone.
#[derive(Clone)]
pub struct AppService {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) entrypoint: Option<ErasedHandler>,
    pub(crate) websocket: Option<ErasedWebSocketHandler>,
    /// Takes requests before the service does.
    pub(crate) front: Option<Arc<dyn Front>>,
    /// A host keeps the journal, and may ask for the end of tasks.
    pub(crate) hosted: bool,
    pub(crate) interrupter: Option<Interrupter>,
    pub(crate) judge: Arc<Judge>,
    pub(crate) tasks: Tasks,
    pub(crate) blocking: BlockingPool,
    pub(crate) debug: bool,
    pub(crate) max_payload: usize,
    pub(crate) keep_alive: Duration,
    /// Handlers under way. They run on when their client leaves; a server that stops waits for them.
    pub(crate) handlers: TaskTracker,
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl AppService {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Answers a request.
    pub(crate) fn respond<B>(
        &self,
        request: Request<B>,
    ) -> Either<Ready<Result<Response, Infallible>>, ResponseFuture>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if let Some(front) = self.front_for(&request) {
            let answer = front.answer(request.map(Body::new));
            return Either::Right(Box::pin(async move { Ok(answer.await) }));
        }
        self.respond_itself(request)
    }

    /// Answers a request without asking the front.
    pub(crate) fn respond_itself<B>(
        &self,
        request: Request<B>,
    ) -> Either<Ready<Result<Response, Infallible>>, ResponseFuture>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let at_once = |response| Either::Left(ready(Ok(response)));
        match (request.uri().path(), request.method()) {
            (PING_PATH, &Method::GET | &Method::HEAD) => match self.shared.judge.report_now() {
                Some(report) => at_once(respond::json(StatusCode::OK, &report)),
                None => {
                    let judge = Arc::clone(&self.shared.judge);
                    Either::Right(Box::pin(async move {
                        Ok(respond::json(StatusCode::OK, &judge.report().await))
                    }))
                }
            },
            (INVOCATIONS_PATH, &Method::POST) => {
                let shared = Arc::clone(&self.shared);
                Either::Right(Box::pin(async move { Ok(shared.invoke(request).await) }))
            }
            (WEBSOCKET_PATH, &Method::GET) => {
                let shared = Arc::clone(&self.shared);
                let parts = request.into_parts().0;
                Either::Right(Box::pin(async move { Ok(shared.upgrade(parts).await) }))
            }
            (PING_PATH, _) => at_once(respond::method_not_allowed("GET, HEAD")),
            (INVOCATIONS_PATH, _) => at_once(respond::method_not_allowed("POST")),
            (WEBSOCKET_PATH, _) => at_once(respond::method_not_allowed("GET")),
            _ => at_once(
                self.shared
                    .cancellation(&request)
                    .unwrap_or_else(|| respond::text(StatusCode::NOT_FOUND, "Not Found")),
            ),
        }
    }
}

impl AppService {
    /// The front, if there is one and it answers this request.
    fn front_for<B>(&self, request: &Request<B>) -> Option<&Arc<dyn Front>> {
        let path = request.uri().path();
        let taken = path != PING_PATH && self.shared.task_to_cancel(path).is_none();
        let front = self.shared.front.as_ref().filter(|_| taken)?;
        front.takes(request.method(), request.uri()).then_some(front)
    }
}

impl<B> Service<Request<B>> for AppService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, ResponseFuture>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.respond(request)
    }
}

impl Shared {
    async fn invoke<B>(self: Arc<Self>, request: Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut parts, body) = request.into_parts();
        let context = RequestContext::take(&mut parts);
        let span = logs::invocation_span(&context);
        let payload = match self.read(body, &context).await {
            Ok(payload) => payload,
            Err(error) => return span.in_scope(|| refused(&error)),
        };
        if self.debug
            && let Some(action) = debug::requested_action(&payload)
        {
            let health = Health::new(Arc::clone(&self.judge));
            return debug::perform(&action, &self.tasks, &health, &self.judge).await;
        }
        let Some(entrypoint) = &self.entrypoint else {
            // Without an entrypoint, a body that is no JSON is still the caller's mistake first.
            return match check(payload).await {
                Ok(()) => respond::error(StatusCode::INTERNAL_SERVER_ERROR, NO_ENTRYPOINT),
                Err(error) => span.in_scope(|| refused(&error)),
            };
        };
        let cancellation = entrypoint.watches_client().then(CancellationToken::new);
        let client_left = cancellation.clone().map(CancellationToken::drop_guard);
        let work = entrypoint.call(self.invocation(payload, context, parts, cancellation));
        let (handled, span) = Attended::new(work, span, &self.handlers).await;
        self.answer(handled, client_left, &span)
    }

    async fn read<B>(&self, body: B, context: &RequestContext) -> Result<Utf8Bytes, PayloadError>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        decode(read_body(body, self.max_payload, context.asks_first()).await?).await
    }

    /// Turns what a handler came to into a response. While that is streamed, `client_left` watches
    /// over it, if it matters to the handler; a client that has its answer whole may leave as it likes.
    fn answer(&self, handled: Handled, client_left: Option<DropGuard>, span: &Span) -> Response {
        let at_once = match handled {
            Ok(Answer::Stream(items)) => {
                let events =
                    Events::new(items, self.keep_alive, self.tasks.clone(), client_left, span.clone());
                return respond::response(StatusCode::OK, EVENT_STREAM, Body::from_stream(events));
            }
            Ok(Answer::Response(response)) => return accompany(*response, client_left),
            Ok(Answer::Json(json)) => respond::json_bytes(StatusCode::OK, json),
            Ok(Answer::Failed(failure)) => span.in_scope(|| failed(&failure)),
            Err(error) => span.in_scope(|| refused(&error)),
        };
        if let Some(guard) = client_left {
            guard.disarm();
        }
        at_once
    }

    async fn upgrade(self: Arc<Self>, mut parts: http::request::Parts) -> Response {
        let Some(handler) = self.websocket.clone() else {
            return StatusCode::FORBIDDEN.into_response();
        };
        let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade,
            Err(rejection) => return rejection.into_response(),
        };
        let context = RequestContext::take(&mut parts);
        let span = logs::invocation_span(&context);
        let cancellation = CancellationToken::new();
        let client_left = cancellation.clone().drop_guard();
        let invocation = self.invocation(Utf8Bytes::default(), context, parts, Some(cancellation));
        let handlers = self.handlers.clone();
        upgrade.max_message_size(self.max_payload).max_frame_size(self.max_payload).on_upgrade(
            move |socket| {
                let served = async move {
                    websocket::serve(handler, socket, invocation).await;
                    drop(client_left);
                };
                handlers.track_future(served.instrument(span))
            },
        )
    }

    fn invocation(
        &self,
        payload: Utf8Bytes,
        context: RequestContext,
        head: http::request::Parts,
        cancellation: Option<CancellationToken>,
    ) -> Invocation {
        Invocation {
            payload,
            context,
            head,
            cancellation,
            tasks: self.tasks.clone(),
            health: Health::new(Arc::clone(&self.judge)),
            blocking: self.blocking.clone(),
        }
    }
}

fn refused(error: &PayloadError) -> Response {
    tracing::warn!(%error, "an invocation was refused");
    respond::json(error.status(), &error.body())
}

fn failed(failure: &Failure) -> Response {
    let status = failure.status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_server_error() {
        tracing::error!("error.type" = failure.kind, "error.message" = failure.message, "the handler failed");
    }
    respond::error(status, &failure.message)
}
