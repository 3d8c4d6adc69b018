//! How long the host waits for a caller in the midst of a request: for more of its body, and for it
//! to take more of the answer.
//!
//! A timer for each wait would cost more than most requests. Instead a connection counts ticks, and
//! notes at which one a wait began.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{MissedTickBehavior, interval};

const TICK: Duration = Duration::from_secs(15);
/// Ticks without any more of a body: 30 to 45 s.
const BODY_TICKS: u32 = 2;
/// Ticks without any more of an answer taken: 2 min, and a little more.
const ANSWER_TICKS: u32 = 8;

/// What is being waited for on one connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patience(Arc<Waits>);

#[derive(Debug, Default)]
struct Waits {
    now: AtomicU32,
    /// The tick after which a wait began; 0: there is none.
    body: AtomicU32,
    answer: AtomicU32,
}

/// Why a connection is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stalled {
    Body,
    Answer,
}

impl Patience {
    /// Ready once the caller has stood still for too long.
    pub(super) async fn lost(&self) -> Stalled {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.0.now.fetch_add(1, Ordering::Relaxed) + 1;
            let is_over = |began: &AtomicU32, most| match began.load(Ordering::Relaxed) {
                0 => false,
                began => now.saturating_sub(began) > most,
            };
            if is_over(&self.0.body, BODY_TICKS) {
                return Stalled::Body;
            }
            if is_over(&self.0.answer, ANSWER_TICKS) {
                return Stalled::Answer;
            }
        }
    }

    /// A request's body, whose pieces are waited for with patience.
    pub(crate) fn with_body<B>(&self, body: B) -> PatientBody<B> {
        PatientBody { body, patience: self.clone() }
    }

    /// A connection, whose caller takes an answer with patience.
    pub(super) fn with_stream<S>(&self, stream: S) -> PatientStream<S> {
        PatientStream { stream, patience: self.clone() }
    }

    fn note<T>(&self, wait: &AtomicU32, polled: &Poll<T>) {
        if polled.is_ready() {
            wait.store(0, Ordering::Relaxed);
        } else if wait.load(Ordering::Relaxed) == 0 {
            // The first tick comes at once, so that this is never 0.
            wait.store(self.0.now.load(Ordering::Relaxed).max(1), Ordering::Relaxed);
        }
    }
}

/// See [`Patience::with_body`].
pub(crate) struct PatientBody<B> {
    body: B,
    patience: Patience,
}

impl<B: Body<Data = Bytes> + Unpin> Body for PatientBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.patience.note(&self.patience.0.body, &polled);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for PatientBody<B> {
    fn drop(&mut self) {
        // Nobody waits for it any more.
        self.patience.0.body.store(0, Ordering::Relaxed);
    }
}

/// See [`Patience::with_stream`].
pub(super) struct PatientStream<S> {
    stream: S,
    patience: Patience,
}

impl<S: AsyncRead + Unpin> AsyncRead for PatientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PatientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patience.note(&self.patience.0.answer, &polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.patience.note(&self.patience.0.answer, &polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if polled.is_pending() {
            self.patience.note(&self.patience.0.answer, &polled);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};

    /// A body that never comes.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_not_waited_for_forever() {
        let patience = Patience::default();
        let mut body = patience.with_body(Silent);
        let began = Instant::now();
        let stalled = tokio::select! {
            stalled = patience.lost() => stalled,
            _ = body.frame() => unreachable!("it never comes"),
        };
        assert_eq!(stalled, Stalled::Body);
        assert!((30..=45).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_not_held_forever() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let patience = Patience::default();
        let mut stream = patience.with_stream(ours);
        // Somebody who takes it slowly is served.
        let slow = async {
            loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
                theirs.read_u8().await.unwrap();
            }
        };
        let writing = async { while stream.write_all(&[0; 4]).await.is_ok() {} };
        tokio::select! {
            stalled = patience.lost() => panic!("{stalled:?}"),
            () = slow => {}
            () = writing => {}
            () = tokio::time::sleep(Duration::from_secs(3_600)) => {}
        }
        let nobody = async { while stream.write_all(&[0; 64]).await.is_ok() {} };
        let stalled = tokio::select! {
            stalled = patience.lost() => stalled,
            () = nobody => unreachable!("nobody takes it"),
        };
        assert_eq!(stalled, Stalled::Answer);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_agent_is_waited_for() {
        let patience = Patience::default();
        drop(patience.with_body(Silent));
        assert!(timeout(Duration::from_secs(3_600), patience.lost()).await.is_err());
    }
}
