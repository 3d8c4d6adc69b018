//! One request to an agent, on a connection of its own.
//!
//! The connection is driven by whoever waits for the answer, first for its head and then for its
//! body: a task per connection would cost a wake-up across threads in each direction.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use agentcore_sandbox::Io;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::body::AgentBody;
use crate::options::Timeouts;
use crate::session::InFlight;

/// A payload on its way to an agent, up to the largest that is allowed.
pub(crate) type RequestBody = Limited<Body>;

/// Why an agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("the payload is too large")]
    TooLarge,
    #[error("the payload ended before it was complete")]
    Incomplete,
    #[error("The agent accepts no connection")]
    Connect(#[source] io::Error),
    #[error("The agent did not begin its answer within {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("The agent closed the connection before it answered")]
    Closed(#[source] hyper::Error),
    #[error("The agent's answer is not HTTP")]
    Garbage(#[source] hyper::Error),
}

impl ExchangeError {
    /// What is behind it, for the caller.
    pub(crate) fn details(&self) -> Option<String> {
        let mut source = self.source()?;
        let mut details = source.to_string();
        while let Some(deeper) = source.source() {
            details = format!("{details}: {deeper}");
            source = deeper;
        }
        Some(details)
    }

    /// Whether the end of the agent's program may be the cause.
    pub(crate) fn may_be_the_end(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Closed(_))
    }

    fn from_hyper(error: hyper::Error) -> Self {
        if error.is_user() {
            let too_large = std::iter::successors(error.source(), |error| (*error).source())
                .any(|error| error.is::<LengthLimitError>());
            return if too_large { Self::TooLarge } else { Self::Incomplete };
        }
        if error.is_parse() { Self::Garbage(error) } else { Self::Closed(error) }
    }
}

type Connection = http1::Connection<TokioIo<Box<dyn Io>>, RequestBody>;

/// The agent's side of an exchange: makes progress when polled.
pub(super) struct Link(Option<Pin<Box<Connection>>>);

impl Link {
    /// The link of an exchange whose connection somebody else drives.
    pub(super) const fn elsewhere() -> Self {
        Self(None)
    }

    /// Moves bytes. What goes wrong reaches whoever waits for the head or the body.
    pub(super) fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && connection.as_mut().poll(context).is_ready()
        {
            self.0 = None;
        }
    }
}

/// Invokes an agent. Once this is polled, the invocation runs on to its end even if the caller
/// leaves, unless the answer turns out to be a stream.
pub(crate) fn invoke(
    request: Request<RequestBody>,
    in_flight: InFlight,
    timeouts: Timeouts,
) -> impl Future<Output = Result<Response<AgentBody>, ExchangeError>> + Send {
    RunsOn { exchange: Some(Box::pin(exchange(request, in_flight, timeouts))), patience: timeouts.stream }
}

async fn exchange(
    request: Request<RequestBody>,
    in_flight: InFlight,
    timeouts: Timeouts,
) -> Result<Response<AgentBody>, ExchangeError> {
    let sandbox = in_flight.session().sandbox().cloned();
    let sandbox = sandbox.ok_or_else(|| ExchangeError::Connect(io::ErrorKind::NotConnected.into()))?;
    let head = async {
        let io = sandbox.connect().await.map_err(ExchangeError::Connect)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(io)).await.map_err(ExchangeError::from_hyper)?;
        let mut link = Link(Some(Box::pin(connection)));
        let mut answer = std::pin::pin!(sender.send_request(request));
        let answer = poll_fn(|context| {
            link.drive(context);
            answer.as_mut().poll(context)
        });
        Ok((answer.await.map_err(ExchangeError::from_hyper)?, link))
    };
    let (answer, link) =
        timeout(timeouts.answer, head).await.map_err(|_| ExchangeError::TooSlow(timeouts.answer))??;
    Ok(answer.map(|incoming| AgentBody::new(incoming, link, in_flight, timeouts.stream)))
}

/// An exchange that is not given up when its caller is.
struct RunsOn<F: Future<Output = Result<Response<AgentBody>, ExchangeError>> + Send + 'static> {
    exchange: Option<Pin<Box<F>>>,
    patience: Duration,
}

impl<F: Future<Output = Result<Response<AgentBody>, ExchangeError>> + Send + 'static> Future for RunsOn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(exchange) = &mut self.exchange else { return Poll::Pending };
        let polled = exchange.as_mut().poll(context);
        if polled.is_ready() {
            self.exchange = None;
        }
        polled
    }
}

impl<F: Future<Output = Result<Response<AgentBody>, ExchangeError>> + Send + 'static> Drop for RunsOn<F> {
    fn drop(&mut self) {
        let Some(exchange) = self.exchange.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let patience = self.patience;
        runtime.spawn(async move {
            if let Ok(answer) = exchange.await {
                finish(answer, patience).await;
            }
        });
    }
}

/// The caller has left. A stream is of no use to anybody: dropping it tells the agent. Anything
/// else the agent may end in peace.
async fn finish(answer: Response<AgentBody>, patience: Duration) {
    if is_stream(answer.headers()) {
        return;
    }
    let mut body = answer.into_body();
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    // Past its time it is given up like any other.
    let _ = timeout(patience, read).await;
}

fn is_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("text/event-stream"))
}
