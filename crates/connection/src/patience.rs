//! How long a server waits for a caller: for the head of its next request, for more of a body, and for
//! it to take more of an answer.
//!
//! A timer for each wait would cost more than most requests. Instead a connection counts ticks, and
//! notes at which one a wait began.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{MissedTickBehavior, interval};

use crate::wakes::polled_when_woken;

const TICK: Duration = Duration::from_secs(15);
/// Ticks without the head of a request: 30 to 45 s.
const HEAD_TICKS: u32 = 2;
/// Ticks without any more of a body: as many.
const BODY_TICKS: u32 = 2;
/// Ticks without any more of an answer taken: 2 min, and a little more.
const ANSWER_TICKS: u32 = 8;

/// What is being waited for on one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Patience(Arc<Waits>);

#[derive(Debug)]
struct Waits {
    now: AtomicU32,
    /// The tick after which a wait began; 0: there is none.
    head: AtomicU32,
    body: AtomicU32,
    answer: AtomicU32,
}

/// Why a connection is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stalled {
    /// No request came, or not its whole head.
    Head,
    /// No more came of a body.
    Body,
    /// No more was taken of an answer.
    Answer,
}

impl Patience {
    /// That of a connection which has just been made, and whose first request is waited for.
    #[must_use]
    pub fn new() -> Self {
        let [now, body, answer] = [const { AtomicU32::new(0) }; 3];
        Self(Arc::new(Waits { now, head: AtomicU32::new(1), body, answer }))
    }

    /// Ready once the caller has stood still for too long.
    async fn lost(&self) -> Stalled {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.0.now.fetch_add(1, Ordering::Relaxed) + 1;
            let is_over = |began: &AtomicU32, most| match began.load(Ordering::Relaxed) {
                0 => false,
                began => now.saturating_sub(began) > most,
            };
            if is_over(&self.0.head, HEAD_TICKS) {
                return Stalled::Head;
            }
            if is_over(&self.0.body, BODY_TICKS) {
                return Stalled::Body;
            }
            if is_over(&self.0.answer, ANSWER_TICKS) {
                return Stalled::Answer;
            }
        }
    }

    /// Ready once the caller has stood still for too long; with nothing, once `stopping` is ready. It is
    /// polled beside what drives the connection, whose wakes do not concern it.
    pub async fn lost_or(&self, stopping: impl Future<Output = ()>) -> Option<Stalled> {
        let (lost, stopping) = (std::pin::pin!(self.lost()), std::pin::pin!(stopping));
        match polled_when_woken(select(stopping, lost)).await {
            Either::Left(((), _)) => None,
            Either::Right((stalled, _)) => Some(stalled),
        }
    }

    /// A request has come. The head of the next one is waited for once this is dropped.
    #[must_use = "the next request is waited for as soon as this is dropped"]
    pub fn underway(&self) -> Underway {
        self.0.head.store(0, Ordering::Relaxed);
        Underway(self.clone())
    }

    /// A request's body, whose pieces are waited for with patience.
    pub fn with_body<B>(&self, body: B) -> PatientBody<B> {
        PatientBody { body, patience: self.clone() }
    }

    /// A connection, whose caller takes an answer with patience.
    pub fn with_stream<S>(&self, stream: S) -> PatientStream<S> {
        PatientStream { stream, patience: self.clone() }
    }

    fn note<T>(&self, wait: &AtomicU32, polled: &Poll<T>) {
        if polled.is_ready() {
            wait.store(0, Ordering::Relaxed);
        } else if wait.load(Ordering::Relaxed) == 0 {
            self.begin(wait);
        }
    }

    fn begin(&self, wait: &AtomicU32) {
        // The first tick comes at once, so that this is never 0.
        wait.store(self.0.now.load(Ordering::Relaxed).max(1), Ordering::Relaxed);
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::new()
    }
}

/// A request that is being answered: see [`Patience::underway`].
#[derive(Debug)]
pub struct Underway(Patience);

impl Underway {
    /// The body of the answer, with which the request ends.
    pub fn until_the_end_of<B>(self, body: B) -> Answered<B> {
        Answered { body, _underway: self }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.begin(&self.0.0.head);
    }
}

/// See [`Underway::until_the_end_of`].
#[derive(Debug)]
pub struct Answered<B> {
    body: B,
    _underway: Underway,
}

impl<B: Body + Unpin> Body for Answered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// See [`Patience::with_body`].
#[derive(Debug)]
pub struct PatientBody<B> {
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
#[derive(Debug)]
pub struct PatientStream<S> {
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
        let patience = Patience::new();
        let _request = patience.underway();
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
        let patience = Patience::new();
        let _request = patience.underway();
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
        let patience = Patience::new();
        let _request = patience.underway();
        drop(patience.with_body(Silent));
        assert!(timeout(Duration::from_secs(3_600), patience.lost()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stops_waits_for_nobodys_patience() {
        let patience = Patience::new();
        let stopping = tokio::time::sleep(Duration::from_secs(10));
        assert_eq!(patience.lost_or(stopping).await, None);
        assert_eq!(patience.lost_or(std::future::pending()).await, Some(Stalled::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_no_request_is_let_go_at_first_and_after_an_answer() {
        let patience = Patience::new();
        let began = Instant::now();
        assert_eq!(patience.lost().await, Stalled::Head);
        assert!((30..=45).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());

        let patience = Patience::new();
        let answering = async {
            let request = patience.underway();
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            drop(request);
            Instant::now()
        };
        let lost = async { (patience.lost().await, Instant::now()) };
        let (answered, (stalled, at)) = tokio::join!(answering, lost);
        assert_eq!(stalled, Stalled::Head);
        assert!((30..=45).contains(&(at - answered).as_secs()), "{:?}", at - answered);
    }
}
