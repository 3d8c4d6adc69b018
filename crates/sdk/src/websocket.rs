//! The WebSocket at `/ws`.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::ws::{self, close_code};
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};

pub use axum::extract::ws::Message;

use crate::entrypoint::{FromInvocation, Invocation};
use crate::outcome::{Failure, Outcome, Settled};
use crate::tasks::panic_message;

/// An open WebSocket. It is also a `Stream` and a `Sink` of [`Message`]s.
///
/// When the handler is done the connection is closed with code 1000, or 1011 if the handler failed.
/// Pings are answered while messages are received.
#[derive(Debug)]
pub struct WebSocket {
    socket: Option<ws::WebSocket>,
    home: Home,
}

/// Where a socket goes when its handler drops it, so that the connection can be closed with a code
/// that says how the handler ended.
type Home = Arc<Mutex<Option<ws::WebSocket>>>;

/// A message could not be received or sent: the connection is broken, or the other side broke the
/// protocol.
#[derive(Debug, thiserror::Error)]
#[error("the WebSocket failed: {0}")]
pub struct WebSocketError(#[from] axum::Error);

impl WebSocket {
    /// The next message. `None`: the other side has closed the connection.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn recv(&mut self) -> Option<Result<Message, WebSocketError>> {
        self.next().await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The connection is broken or closed.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        SinkExt::send(self, message.into()).await
    }

    fn socket(self: Pin<&mut Self>) -> Pin<&mut ws::WebSocket> {
        Pin::new(self.get_mut().socket.as_mut().expect("the socket is there until it is dropped"))
    }
}

impl Stream for WebSocket {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.socket().poll_next(cx).map_err(WebSocketError)
    }
}

impl Sink<Message> for WebSocket {
    type Error = WebSocketError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        self.socket().poll_ready(cx).map_err(WebSocketError)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), WebSocketError> {
        Ok(self.socket().start_send(message)?)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        self.socket().poll_flush(cx).map_err(WebSocketError)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        self.socket().poll_close(cx).map_err(WebSocketError)
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.socket.take();
    }
}

/// How long a client has to answer the close of its WebSocket.
const FAREWELL: Duration = Duration::from_secs(5);

type Served = Pin<Box<dyn Future<Output = Settled> + Send>>;

/// A WebSocket handler: `async fn(WebSocket)`, with up to four further arguments that implement
/// [`FromInvocation`]. It returns nothing, or a `Result`. `M` is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no WebSocket handler",
    note = "a WebSocket handler is an `async fn(WebSocket, ...)` whose other arguments are extractors such as `RequestContext` or `Tasks`; it returns `()` or a `Result`"
)]
pub trait WebSocketHandler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(self: Arc<Self>, socket: WebSocket, invocation: Invocation) -> Served;
}

pub(crate) type ErasedWebSocketHandler = Arc<dyn Fn(WebSocket, Invocation) -> Served + Send + Sync>;

macro_rules! websocket_handlers {
    ($($argument:ident),*) => {
        #[allow(non_snake_case, unused_variables)]
        impl<F, Fut, M, $($argument,)*> WebSocketHandler<(M, $($argument,)*)> for F
        where
            F: Fn(WebSocket, $($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: Outcome<M>,
            $($argument: FromInvocation,)*
        {
            fn call(self: Arc<Self>, socket: WebSocket, invocation: Invocation) -> Served {
                $(let $argument = $argument::from_invocation(&invocation);)*
                Box::pin(async move { self(socket, $($argument),*).await.settle() })
            }
        }
    };
}

websocket_handlers!();
websocket_handlers!(A1);
websocket_handlers!(A1, A2);
websocket_handlers!(A1, A2, A3);
websocket_handlers!(A1, A2, A3, A4);

/// Lets the handler have the socket, and closes the connection the way the handler ended.
pub(crate) async fn serve(handler: ErasedWebSocketHandler, socket: ws::WebSocket, invocation: Invocation) {
    let home = Home::default();
    let socket = WebSocket { socket: Some(socket), home: Arc::clone(&home) };
    let tasks = invocation.tasks.clone();
    let handled = std::panic::AssertUnwindSafe(async { tasks.scope(handler(socket, invocation)).await });
    let settled = handled.catch_unwind().await.unwrap_or_else(|panic| {
        let Failure { kind, message, .. } = Failure::panic(panic_message(&*panic));
        Settled::Failed(agentcore_protocol::TaskFailure { kind, message })
    });
    let frame = match settled {
        Settled::Completed(_) => ws::CloseFrame { code: close_code::NORMAL, reason: "".into() },
        Settled::Failed(failure) => {
            tracing::error!(
                "error.type" = failure.kind,
                "error.message" = failure.message,
                "the WebSocket handler failed"
            );
            ws::CloseFrame { code: close_code::ERROR, reason: "".into() }
        }
    };
    let returned = home.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(socket) = returned {
        // A client that neither reads nor leaves is not waited for.
        let _ = tokio::time::timeout(FAREWELL, close(socket, frame)).await;
    }
}

/// Closes a connection. What the client still sends is read and thrown away until it has closed
/// too: a socket that is dropped with bytes unread resets the connection, and the client would
/// never see the code.
async fn close(mut socket: ws::WebSocket, frame: ws::CloseFrame) {
    // Closed by the other side already, or by the handler: then there is nothing left to say.
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
