//! An agent's answer on its way to the caller.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::link::Link;
use crate::session::InFlight;

/// The body of an answer. The request counts as in flight for as long as this lives; dropping it
/// early closes the connection, which tells the agent that nobody listens any more.
pub(crate) struct AgentBody {
    incoming: Incoming,
    /// `None`: somebody else drives the connection.
    link: Option<Link>,
    in_flight: InFlight,
    patience: Duration,
    /// Set once the body does not come in one go, as most do.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Why it breaks off, once all that came before is on its way.
    breaking_off: Option<BrokenOff>,
    over: bool,
}

/// Why an answer breaks off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenOff {
    #[error("the agent closed the connection in the middle of its answer: {0}")]
    Closed(hyper::Error),
    #[error("the agent's answer took more than {} s", .0.as_secs())]
    TooLong(Duration),
}

impl AgentBody {
    pub(super) fn new(
        incoming: Incoming,
        link: Option<Link>,
        in_flight: InFlight,
        patience: Duration,
    ) -> Self {
        Self { incoming, link, in_flight, patience, deadline: None, breaking_off: None, over: false }
    }

    /// The caller gets an answer that visibly ends too early; the operator gets the reason.
    fn break_off(&mut self, why: BrokenOff) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.over = true;
        self.link = None;
        let session = self.in_flight.session();
        tracing::warn!(
            session.id = %session.key.session, incarnation = %session.incarnation, error = %why,
            "an answer broke off"
        );
        session.note("answer_broken_off", why.to_string());
        Poll::Ready(Some(Err(why)))
    }
}

impl Body for AgentBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Some(why) = self.breaking_off.take() {
            return self.break_off(why);
        }
        let Self { incoming, link, .. } = &mut *self;
        let mut next = |context: &mut Context<'_>| Pin::new(&mut *incoming).poll_frame(context);
        let frame = match link {
            Some(link) => link.drive(context, next),
            None => next(context),
        };
        match frame {
            Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                // Whoever sends this closes the connection at the error, and with it loses what it has not
                // sent yet, be it the head: so let it send that first.
                self.breaking_off = Some(BrokenOff::Closed(error));
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(None) => {
                self.over = true;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        let patience = self.patience;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(patience)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => self.break_off(BrokenOff::TooLong(patience)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for AgentBody {
    fn drop(&mut self) {
        // What was not read to its end cannot carry another answer.
        if self.is_end_stream()
            && let Some(link) = self.link.take()
        {
            self.in_flight.session().links.put(link);
        }
    }
}
