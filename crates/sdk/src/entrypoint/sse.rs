//! Streams of items as server-sent events.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use agentcore_protocol::error::StreamError;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::DropGuard;
use tracing::Span;

use crate::outcome::{Failure, Outcome};
use crate::tasks::{Tasks, panic_message};

/// Items that are ready at once are sent together, up to this many bytes.
const BATCH_BYTES: usize = 16 << 10;

/// Where a keep-alive that is too long for the clock goes.
const FOREVER: Duration = Duration::from_secs(86_400 * 365);

type Item = Result<Bytes, Failure>;

/// A handler's stream, its items rendered.
#[doc(hidden)]
pub struct ItemStream(Pin<Box<dyn Stream<Item = Item> + Send>>);

impl ItemStream {
    /// A stream of items that are JSON already.
    pub(crate) fn rendered(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Box::pin(stream.map(Ok)))
    }

    pub(super) fn new<S, M>(stream: S) -> Self
    where
        S: Stream + Send + 'static,
        S::Item: Outcome<M>,
        M: 'static,
    {
        Self(Box::pin(stream.map(|item| item.render())))
    }
}

/// The body of an answer with server-sent events: `data: <json>` per item, a comment now and then
/// while there are none, and a last event that tells of an error.
///
/// The client's pace is the stream's: it is polled when the connection takes more. Dropped before
/// its end, because the client left, it fires the invocation's cancellation token.
pub(crate) struct Events {
    items: Option<Pin<Box<dyn Stream<Item = Item> + Send>>>,
    tasks: Tasks,
    keep_alive: Duration,
    quiet: Pin<Box<Sleep>>,
    client_left: Option<DropGuard>,
    span: Span,
}

impl Events {
    /// What is logged meanwhile is in `span`.
    pub(crate) fn new(
        items: ItemStream,
        keep_alive: Duration,
        tasks: Tasks,
        client_left: Option<DropGuard>,
        span: Span,
    ) -> Self {
        let quiet = Box::pin(sleep(keep_alive));
        Self { items: Some(items.0), tasks, keep_alive, quiet, client_left, span }
    }

    /// Appends what is ready to `out`. Pending: nothing more for now.
    fn fill(&mut self, out: &mut BytesMut, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(items) = &mut self.items
            && out.len() < BATCH_BYTES
        {
            let tasks = &self.tasks;
            let polled = catch_unwind(AssertUnwindSafe(|| tasks.sync_scope(|| items.poll_next_unpin(cx))));
            let failure = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Some(Ok(json)))) => {
                    push_event(out, &json);
                    continue;
                }
                Ok(Poll::Ready(None)) => None,
                Ok(Poll::Ready(Some(Err(failure)))) => Some(failure),
                Err(panic) => Some(Failure::panic(panic_message(&*panic))),
            };
            self.items = None;
            if let Some(failure) = failure {
                tracing::error!(
                    "error.type" = failure.kind,
                    "error.message" = failure.message,
                    "a stream failed midway"
                );
                let last = StreamError::new(failure.message, failure.kind);
                push_event(out, &serde_json::to_vec(&last).unwrap_or_default());
            }
        }
        Poll::Ready(())
    }

    fn keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        std::task::ready!(self.quiet.as_mut().poll(cx));
        self.rest();
        // Registers the new deadline with the timer.
        let _ = self.quiet.as_mut().poll(cx);
        Poll::Ready(Bytes::from_static(b": keep-alive\n\n"))
    }

    fn rest(&mut self) {
        let far_away = || Instant::now() + FOREVER;
        let next = Instant::now().checked_add(self.keep_alive);
        self.quiet.as_mut().reset(next.unwrap_or_else(far_away));
    }
}

fn push_event(out: &mut BytesMut, json: &[u8]) {
    out.reserve(json.len() + 8);
    out.put_slice(b"data: ");
    let start = out.len();
    out.put_slice(json);
    // JSON escapes line ends in texts. Those between members, as in a `RawValue` that is
    // pretty-printed, are blanks, and would end the event's line.
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    out.put_slice(b"\n\n");
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut out = BytesMut::new();
        let filled = self.span.clone().in_scope(|| self.fill(&mut out, cx));
        if !out.is_empty() {
            self.rest();
            return Poll::Ready(Some(Ok(out.freeze())));
        }
        match filled {
            Poll::Pending => self.keep_alive(cx).map(|comment| Some(Ok(comment))),
            Poll::Ready(()) => {
                // The end: the client has everything, so its leaving means nothing any more.
                if let Some(guard) = self.client_left.take() {
                    guard.disarm();
                }
                Poll::Ready(None)
            }
        }
    }
}
