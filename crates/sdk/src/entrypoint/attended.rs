//! A handler at work, with a client waiting for it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use super::answer::Answer;
use super::handler::{Handled, HandledFuture};
use crate::outcome::Failure;
use crate::tasks::panic_message;

/// Polls a handler in its connection's own task, which costs nothing, for as long as the client is
/// there. When the client leaves, the connection drops this, and the handler is moved to a task of
/// its own: it runs on, sees its cancellation token fire, and can finish what it began.
///
/// A panic ends the handler and nothing else.
pub(crate) struct Attended {
    under_way: Option<(HandledFuture, Span)>,
    handlers: TaskTracker,
}

impl Attended {
    /// What `work` logs is in `span`, which comes back with what it came to.
    pub(crate) fn new(work: HandledFuture, span: Span, handlers: &TaskTracker) -> Self {
        Self { under_way: Some((work, span)), handlers: handlers.clone() }
    }
}

impl Future for Attended {
    type Output = (Handled, Span);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(Handled, Span)> {
        let (mut work, span) = self.under_way.take().expect("a handler is not polled after its end");
        // Entered once, for the work and for its drop.
        let entered = span.enter();
        let handled = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => {
                drop(entered);
                self.under_way = Some((work, span));
                return Poll::Pending;
            }
            Ok(Poll::Ready(handled)) => handled,
            Err(panic) => Ok(Answer::Failed(Failure::panic(panic_message(&*panic)))),
        };
        drop(work);
        drop(entered);
        Poll::Ready((handled, span))
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        let (Some((work, span)), Ok(runtime)) =
            (self.under_way.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let unattended = async {
            if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
                let message = panic_message(&*panic);
                tracing::error!("error.message" = message, "a handler panicked after its client had left");
            }
        };
        runtime.spawn(self.handlers.track_future(unattended.instrument(span)));
    }
}
