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

use agentcore_connection::Bell;
use agentcore_sandbox::{Io, Sandbox};
use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::threads::LaneId;

/// How long a connection may rest and be used again.
const FRESH: Duration = Duration::from_secs(1);
/// Most connections that rest per session.
const RESTING: usize = 32;

/// A payload on its way to an agent, up to the largest that is allowed.
pub(crate) type RequestBody = Limited<Body>;
type Connection = http1::Connection<TokioIo<Box<dyn Io>>, RequestBody>;

/// A request that has no payload, to be filled in.
pub(crate) fn without_payload() -> Request<RequestBody> {
    Request::new(Limited::new(Body::empty(), 0))
}

/// One connection to an agent.
pub(crate) struct Link {
    sender: http1::SendRequest<RequestBody>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<Connection>>>,
    /// What the connection and whoever waits for its answer signal each other.
    bell: Bell,
    deadline: Deadline,
    /// Where it was opened.
    lane: LaneId,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Connect(#[from] io::Error),
    #[error(transparent)]
    Handshake(#[from] hyper::Error),
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// It was not sent at all, and can be sent on another connection.
    #[error("{0}")]
    Unsent(hyper::Error),
    #[error("{0}")]
    Failed(hyper::Error),
    #[error("no answer began in time")]
    TooSlow,
}

impl Link {
    /// A connection of its own.
    pub(crate) async fn open(sandbox: &dyn Sandbox) -> Result<Self, LinkError> {
        let io = sandbox.connect().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
        let connection = Some(Box::pin(connection));
        let (bell, deadline, lane) = (Bell::new(), Deadline::default(), LaneId::current());
        Ok(Self { sender, connection, bell, deadline, lane })
    }

    /// Moves bytes, and then asks for what is waited for. What goes wrong reaches whoever waits for the
    /// head or the body.
    pub(crate) fn drive<T>(
        &mut self,
        context: &mut Context<'_>,
        mut then: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { connection, bell, .. } = self;
        bell.poll(context, |context| {
            if let Some(open) = connection
                && open.as_mut().poll(context).is_ready()
            {
                *connection = None;
            }
            then(context)
        })
    }

    /// Sends a request, and returns the head of the answer. It is waited for `until` then; `None`: for as
    /// long as it takes. What was not sent at all is put back.
    pub(crate) async fn send(
        &mut self,
        request: &mut Request<RequestBody>,
        until: Option<Instant>,
    ) -> Result<Response<Incoming>, SendError> {
        let Self { sender, bell, .. } = self;
        let taken = std::mem::replace(request, without_payload());
        let mut answer = std::pin::pin!(bell.muffled(|| sender.try_send_request(taken)));
        poll_fn(|context| match self.drive(context, |context| answer.as_mut().poll(context)) {
            Poll::Ready(answer) => Poll::Ready(answer.map_err(|mut error| match error.take_message() {
                Some(unsent) => {
                    *request = unsent;
                    SendError::Unsent(error.into_error())
                }
                None => SendError::Failed(error.into_error()),
            })),
            Poll::Pending => match until {
                Some(until) => self.deadline.poll(context, until).map(|()| Err(SendError::TooSlow)),
                None => Poll::Pending,
            },
        })
        .await
    }

    /// Whether another request can be sent, as far as is known.
    fn is_usable(&mut self, context: &mut Context<'_>) -> bool {
        // One that is ready sees whether the other side has left before it sends anything.
        if !self.sender.is_ready() {
            let _ = self.drive(context, |_| Poll::Ready(()));
        }
        self.connection.is_some() && self.sender.is_ready()
    }
}

/// A timer that one exchange after another uses. Nearly all end long before their time: to set a timer
/// for each and to take it back would cost more than to look, when it has run out, whether it should have.
#[derive(Default)]
struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Ready once it is `until`.
    fn poll(&mut self, context: &mut Context<'_>, until: Instant) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if until < timer.deadline() {
            timer.as_mut().reset(until);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

/// The connections to one agent that rest.
#[derive(Default)]
pub(crate) struct Links {
    resting: Mutex<Vec<(Instant, Link)>>,
}

impl Links {
    /// One that can be used again, the latest first. It is one that this lane opened: every answer on another's
    /// would have to wake this one.
    pub(crate) async fn take(&self) -> Option<Link> {
        let lane = LaneId::current();
        poll_fn(|context| Poll::Ready(self.take_usable(lane, context))).await
    }

    fn take_usable(&self, lane: LaneId, context: &mut Context<'_>) -> Option<Link> {
        loop {
            let (since, mut link) = {
                let mut resting = self.lock();
                let latest = resting.iter().rposition(|(_, link)| link.lane == lane)?;
                resting.remove(latest)
            };
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
