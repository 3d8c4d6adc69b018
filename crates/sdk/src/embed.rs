//! Hooks for bindings to other languages: an entrypoint that gets its payload as text, and a
//! front that may take requests before the service does. Not part of the stable interface.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::TaskId;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Method, Request, Uri, request};

use crate::app::App;
use crate::entrypoint::{Answer, ErasedHandler, Invocation, ItemStream};
use crate::error::ServeError;
use crate::health::{Health, PingHandler};
use crate::respond::{Body, Response};
use crate::serve::{self, Listener};
use crate::service::AppService;
use crate::{PingReport, RequestContext};

/// A future of whatever type.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A request for the entrypoint: decoded to UTF-8 text, not yet parsed.
pub struct RawInvocation {
    /// The payload: UTF-8 without a byte-order mark.
    pub text: Bytes,
    /// Session, request id, headers.
    pub context: RequestContext,
    /// Method, URI and extensions of the request. Its headers are in the context.
    pub head: request::Parts,
}

/// What a raw entrypoint comes to.
pub enum RawAnswer {
    /// A whole response.
    Response(Box<Response>),
    /// Server-sent events: each item is the JSON of one.
    Events(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

/// Takes requests before the service does.
pub trait Front: Send + Sync + 'static {
    /// Whether the front answers this request. Asked for everything but `/ping`.
    fn takes(&self, method: &Method, uri: &Uri) -> bool;

    /// Answers it.
    fn answer(&self, request: Request<Body>) -> BoxFuture<Response>;
}

/// Interrupts the code of a task that is not a Rust future. Called once for each task that a host
/// wants to end; it must not block.
pub type Interrupter = Arc<dyn Fn(TaskId) + Send + Sync>;

/// The address of the client, in the extensions of a request that reaches a front.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl App {
    /// Answers invocations with a function that gets their payload as text.
    #[doc(hidden)]
    pub fn raw_entrypoint<F>(mut self, entrypoint: F) -> Self
    where
        F: Fn(RawInvocation) -> BoxFuture<RawAnswer> + Send + Sync + 'static,
    {
        let call = async |entrypoint: Arc<F>, invocation: Invocation| {
            let Invocation { payload, context, head, .. } = invocation;
            Ok(match entrypoint(RawInvocation { text: payload.into(), context, head }).await {
                RawAnswer::Response(response) => Answer::Response(response),
                RawAnswer::Events(items) => Answer::Stream(ItemStream::rendered(items)),
            })
        };
        self.set_entrypoint(ErasedHandler::new(entrypoint, call, false));
        self
    }

    /// Lets `front` take requests before the service does.
    #[doc(hidden)]
    pub fn front(mut self, front: Arc<dyn Front>) -> Self {
        self.set_front(front);
        self
    }

    /// Has `interrupter` called for each task that a host wants to end.
    #[doc(hidden)]
    pub fn interrupter(mut self, interrupter: Interrupter) -> Self {
        self.set_interrupter(interrupter);
        self
    }
}

impl RequestContext {
    /// All headers, also those that are not meant for an agent's code.
    #[doc(hidden)]
    pub fn all_headers(&self) -> &HeaderMap {
        self.raw_headers()
    }
}

impl Health {
    /// Decides the status with a handler: see [`App::ping`]. `false`: there is one already.
    #[doc(hidden)]
    pub fn set_ping_handler<M>(&self, handler: impl PingHandler<M>) -> bool {
        self.judge().set_custom(handler)
    }

    /// What `/ping` would answer, without waiting. `None`: a handler must be asked.
    #[doc(hidden)]
    pub fn report_now(&self) -> Option<PingReport> {
        self.judge().report_now()
    }

    /// What `/ping` would answer.
    #[doc(hidden)]
    pub async fn report(&self) -> PingReport {
        self.judge().report().await
    }
}

/// Takes the headers out of a request's head, as the service does.
pub fn context(head: &mut request::Parts) -> RequestContext {
    RequestContext::take(head)
}

/// Answers a request as the service does for those that its front leaves alone.
pub async fn answer(service: &AppService, request: Request<Body>) -> Response {
    let Ok(response) = service.respond_itself(request).await;
    response
}

/// Binds where `app` is to be served: see [`App::serve`].
pub async fn bind(app: &App) -> Result<Listener, ServeError> {
    serve::bind(app.place()).await
}

/// Serves on `listener` until `stop` resolves; then finishes what is under way, within `grace`.
pub async fn serve(service: AppService, listener: Listener, stop: impl Future, grace: Duration) {
    tracing::info!("serving on {listener}");
    serve::serve(service, listener, stop, grace).await;
}

/// Resolves at SIGTERM or Ctrl-C. A second signal ends the process at once.
///
/// # Errors
/// The signals cannot be taken over.
pub fn signalled() -> Result<impl Future<Output = ()>, ServeError> {
    Ok(serve::Signals::listen()?.first())
}
