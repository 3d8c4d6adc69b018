//! Connections to an agent's server.
//!
//! A connection is driven by whoever waits for its answer, first for the head and then for the
//! body: a task per connection would cost a wake-up across threads in each direction.
//!
//! A connection that an agent left open is used again, but only for a second. Servers close idle
//! connections after some seconds, uvicorn after five, and an invocation that is sent at that very
//! moment is lost: it cannot be sent again, as nobody knows whether the agent has read it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use agentcore_sandbox::{Io, Sandbox};
use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

/// How long a connection may rest and be used again.
const FRESH: Duration = Duration::from_secs(1);
/// Most connections that rest per session.
const RESTING: usize = 32;

/// A payload on its way to an agent, up to the largest that is allowed.
pub(crate) type RequestBody = Limited<Body>;
type Connection = http1::Connection<TokioIo<Box<dyn Io>>, RequestBody>;

/// One connection to an agent.
pub(crate) struct Link {
    sender: http1::SendRequest<RequestBody>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<Connection>>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Connect(#[from] io::Error),
    #[error(transparent)]
    Handshake(#[from] hyper::Error),
}

impl Link {
    /// A connection of its own.
    pub(crate) async fn open(sandbox: &dyn Sandbox) -> Result<Self, LinkError> {
        let io = sandbox.connect().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
        Ok(Self { sender, connection: Some(Box::pin(connection)) })
    }

    /// Moves bytes. What goes wrong reaches whoever waits for the head or the body.
    pub(crate) fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(context).is_ready()
        {
            self.connection = None;
        }
    }

    /// Sends a request, and returns the head of the answer. A request that was not sent comes back
    /// in the error.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        poll_fn(|context| {
            if let Some(connection) = &mut self.connection
                && connection.as_mut().poll(context).is_ready()
            {
                self.connection = None;
            }
            answer.as_mut().poll(context)
        })
        .await
    }

    /// Whether the agent has left it open. Takes in what has arrived since it was used last.
    fn is_usable(&mut self, context: &mut Context<'_>) -> bool {
        self.drive(context);
        self.connection.is_some() && self.sender.is_ready()
    }
}

/// The connections to one agent that rest.
#[derive(Default)]
pub(crate) struct Links {
    resting: Mutex<Vec<(Instant, Link)>>,
}

impl Links {
    /// One that can be used again, the latest first.
    pub(crate) async fn take(&self) -> Option<Link> {
        poll_fn(|context| Poll::Ready(self.take_usable(context))).await
    }

    fn take_usable(&self, context: &mut Context<'_>) -> Option<Link> {
        loop {
            let (since, mut link) = self.lock().pop()?;
            if since.elapsed() < FRESH && link.is_usable(context) {
                return Some(link);
            }
        }
    }

    /// Lets one rest whose answer has come to its end.
    pub(crate) fn put(&self, link: Link) {
        let mut resting = self.lock();
        if link.connection.is_some() && resting.len() < RESTING {
            resting.push((Instant::now(), link));
        }
    }

    /// Closes those that have rested too long.
    pub(crate) fn close_stale(&self) {
        self.lock().retain(|(since, _)| since.elapsed() < FRESH);
    }

    /// Closes all.
    pub(crate) fn close(&self) {
        self.lock().clear();
    }

    // A panic cannot leave the list half changed.
    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Link)>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
