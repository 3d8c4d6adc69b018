//! One request to an agent, from the first byte to the end of the answer.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::time::Duration;

use axum::http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::body::AgentBody;
use super::headers::is_event_stream;
use crate::carried_on::carried_on;
use crate::link::{Link, LinkError, RequestBody, SendError};
use crate::options::AnswerPatience;
use crate::session::{InFlight, SessionHandle};

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

/// Invokes an agent. Once this is polled, the invocation runs on to its end even if the caller
/// leaves, unless the answer turns out to be a stream.
pub(crate) fn invoke(
    request: Request<RequestBody>,
    in_flight: InFlight,
    patience: AnswerPatience,
) -> impl Future<Output = Result<Response<AgentBody>, ExchangeError>> + Send {
    carried_on(exchange(request, in_flight, patience), move |answered| async move {
        if let Ok(answer) = answered {
            finish(answer, patience.end).await;
        }
    })
}

/// Invokes an agent. Given up, this and the body of the answer close the connection.
#[expect(
    clippy::manual_async_fn,
    reason = "an async function holds what it is given twice, and this is large"
)]
pub(crate) fn exchange(
    mut request: Request<RequestBody>,
    in_flight: InFlight,
    patience: AnswerPatience,
) -> impl Future<Output = Result<Response<AgentBody>, ExchangeError>> + Send {
    async move {
        let (answer, link) = send(&mut request, in_flight.session(), patience.begin).await?;
        Ok(answer.map(|incoming| AgentBody::new(incoming, Some(link), in_flight, patience.end)))
    }
}

/// Sends the request on a connection that rests, or else on a new one. Only what was not sent at
/// all is sent again.
async fn send(
    request: &mut Request<RequestBody>,
    session: &SessionHandle,
    patience: Duration,
) -> Result<(Response<Incoming>, Link), ExchangeError> {
    let until = Instant::now().checked_add(patience);
    let mut is_new = false;
    loop {
        let mut link = match session.links.take().await {
            Some(link) => link,
            None => {
                is_new = true;
                open(session, patience).await?
            }
        };
        match link.send(request, until).await {
            Ok(answer) => return Ok((answer, link)),
            Err(SendError::Unsent(_)) if !is_new => {}
            Err(SendError::Unsent(error) | SendError::Failed(error)) => {
                return Err(ExchangeError::from_hyper(error));
            }
            Err(SendError::TooSlow) => return Err(ExchangeError::TooSlow(patience)),
        }
    }
}

/// A new connection.
async fn open(session: &SessionHandle, patience: Duration) -> Result<Link, ExchangeError> {
    let sandbox =
        session.sandbox().ok_or_else(|| ExchangeError::Connect(io::ErrorKind::NotConnected.into()))?;
    let opened = Box::pin(timeout(patience, Link::open(&**sandbox))).await;
    Ok(opened.map_err(|_| ExchangeError::TooSlow(patience))??)
}

impl From<LinkError> for ExchangeError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Connect(error) => Self::Connect(error),
            LinkError::Handshake(error) => Self::from_hyper(error),
        }
    }
}

/// The caller has left. A stream is of no use to anybody: dropping it tells the agent. Anything
/// else the agent may end in peace.
async fn finish(answer: Response<AgentBody>, patience: Duration) {
    if is_event_stream(answer.headers()) {
        return;
    }
    let mut body = answer.into_body();
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    // Past its time it is given up like any other.
    let _ = timeout(patience, read).await;
}
