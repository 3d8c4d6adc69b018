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
use crate::options::Timeouts;
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
    timeouts: Timeouts,
) -> impl Future<Output = Result<Response<AgentBody>, ExchangeError>> + Send {
    let patience = timeouts.stream;
    carried_on(exchange(request, in_flight, timeouts), move |answered| async move {
        if let Ok(answer) = answered {
            finish(answer, patience).await;
        }
    })
}

/// Invokes an agent. Given up, this and the body of the answer close the connection.
pub(crate) async fn exchange(
    request: Request<RequestBody>,
    in_flight: InFlight,
    timeouts: Timeouts,
) -> Result<Response<AgentBody>, ExchangeError> {
    let (answer, link) = send(request, in_flight.session(), timeouts.answer).await?;
    Ok(answer.map(|incoming| AgentBody::new(incoming, Some(link), in_flight, timeouts.stream)))
}

/// Sends the request on a connection that rests, or else on a new one. Only what was not sent at
/// all is sent again.
async fn send(
    mut request: Request<RequestBody>,
    session: &SessionHandle,
    patience: Duration,
) -> Result<(Response<Incoming>, Link), ExchangeError> {
    let until = Instant::now().checked_add(patience);
    let failed = |error| match error {
        SendError::Unsent(_, error) | SendError::Failed(error) => ExchangeError::from_hyper(error),
        SendError::TooSlow => ExchangeError::TooSlow(patience),
    };
    while let Some(mut link) = session.links.take().await {
        match link.send(request, until).await {
            Ok(answer) => return Ok((answer, link)),
            Err(SendError::Unsent(unsent, _)) => request = *unsent,
            Err(error) => return Err(failed(error)),
        }
    }
    let sandbox =
        session.sandbox().ok_or_else(|| ExchangeError::Connect(io::ErrorKind::NotConnected.into()))?;
    let opened = timeout(patience, Link::open(&**sandbox)).await;
    let mut link = opened.map_err(|_| ExchangeError::TooSlow(patience))??;
    match link.send(request, until).await {
        Ok(answer) => Ok((answer, link)),
        Err(error) => Err(failed(error)),
    }
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
