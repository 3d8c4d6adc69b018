//! One answer, as it comes in, for any number of listeners.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::response::Parts;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;

use super::payload::Hash;
use crate::watched::Watched;

/// An answer that is recorded.
pub(in crate::api::aws) struct Recording {
    tape: Watched<Tape>,
    /// The bytes of all recordings.
    total: Arc<AtomicUsize>,
}

/// Why nothing can be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api::aws) enum Unheard {
    /// The invocation reached no agent.
    RanNothing,
    /// The beginning was too much to be kept.
    TooMuch,
    /// The task that ran it has ended without one.
    NoAnswer,
}

#[derive(Default)]
struct Tape {
    head: Option<Parts>,
    ran_nothing: bool,
    /// The hash of the payload, once all of it has gone to the agent.
    payload: Option<Hash>,
    pieces: VecDeque<Bytes>,
    /// How many pieces have been dropped at the beginning.
    dropped: usize,
    bytes: usize,
    end: Option<Ending>,
    /// Where each listener is.
    listeners: HashMap<u64, usize>,
    listeners_ever: u64,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api::aws) enum Ending {
    Whole,
    BrokenOff,
}

impl Recording {
    pub(super) fn new(total: Arc<AtomicUsize>) -> Self {
        Self { tape: Watched::default(), total }
    }

    /// The head of the answer is there.
    pub(in crate::api::aws) fn begin(&self, head: Parts, ran_nothing: bool) {
        self.tape.edit(|tape| {
            tape.head = Some(head);
            tape.ran_nothing = ran_nothing;
        });
    }

    /// All of the payload has gone to the agent.
    pub(super) fn came_with(&self, payload: Hash) {
        self.tape.lock().payload = Some(payload);
    }

    /// Whether it came with another payload, as far as that is known by now.
    pub(in crate::api::aws) fn is_of_another(&self, payload: Option<Hash>) -> bool {
        let own = self.tape.lock().payload;
        own.zip(payload).is_some_and(|(own, payload)| own != payload)
    }

    /// A piece of the body is there.
    pub(in crate::api::aws) fn add(&self, piece: Bytes) {
        self.total.fetch_add(piece.len(), Ordering::AcqRel);
        self.tape.edit(|tape| {
            tape.bytes += piece.len();
            tape.pieces.push_back(piece);
        });
    }

    /// The answer has ended.
    pub(in crate::api::aws) fn end(&self, how: Ending) {
        self.tape.edit(|tape| tape.end = Some(how));
    }

    /// How many bytes are kept.
    pub(in crate::api::aws) fn bytes(&self) -> usize {
        self.tape.lock().bytes
    }

    /// Drops what everybody has heard, from now on to nobody's use. Whether something was dropped.
    pub(in crate::api::aws) fn drop_heard(&self) -> bool {
        let mut tape = self.tape.lock();
        let heard = tape.listeners.values().copied().min().unwrap_or(tape.dropped);
        let mut freed = 0;
        while tape.dropped < heard
            && let Some(piece) = tape.pieces.pop_front()
        {
            tape.dropped += 1;
            freed += piece.len();
        }
        tape.bytes -= freed;
        self.total.fetch_sub(freed, Ordering::AcqRel);
        freed > 0
    }

    /// Returns once somebody listens.
    pub(in crate::api::aws) async fn heard(&self) {
        self.tape.wait(|tape| (!tape.listeners.is_empty()).then_some(())).await;
    }

    /// Returns once somebody has listened and nobody does.
    pub(in crate::api::aws) async fn abandoned(&self) {
        self.tape.wait(|tape| (tape.listeners_ever > 0 && tape.listeners.is_empty()).then_some(())).await;
    }

    /// Returns once a listener has gone on, has come or has left.
    pub(in crate::api::aws) fn moved(&self) -> impl Future<Output = ()> + '_ {
        let before = self.tape.lock().positions();
        self.tape.wait(move |tape| (tape.positions() != before).then_some(()))
    }

    /// The answer from its beginning, once it has begun.
    pub(in crate::api::aws) async fn listen(self: Arc<Self>) -> Result<Response, Unheard> {
        let (head, listener) = self
            .tape
            .wait(|tape| {
                let Some(head) = tape.head.clone() else {
                    return tape.end.map(|_| Err(Unheard::NoAnswer));
                };
                if tape.dropped > 0 {
                    return Some(Err(Unheard::TooMuch));
                }
                let id = tape.listeners_ever;
                tape.listeners_ever += 1;
                tape.listeners.insert(id, 0);
                Some(Ok((head, Listener { recording: self.clone(), id })))
            })
            .await?;
        self.tape.announce();
        let pieces = stream::unfold(listener, |listener| async move {
            let piece = listener.next().await?;
            Some((piece, listener))
        });
        Ok(Response::from_parts(head, Body::from_stream(pieces)))
    }

    /// As [`Recording::listen`], for those who come again: they are told when nothing was run.
    pub(in crate::api::aws) async fn listen_again(self: Arc<Self>) -> Result<Response, Unheard> {
        let is_known =
            |tape: &mut Tape| (tape.head.is_some() || tape.end.is_some()).then_some(tape.ran_nothing);
        let ran_nothing = self.tape.wait(is_known).await;
        if ran_nothing { Err(Unheard::RanNothing) } else { self.listen().await }
    }
}

impl Tape {
    /// Changes whenever a listener does something.
    fn positions(&self) -> (u64, usize, usize) {
        (self.listeners_ever, self.listeners.len(), self.listeners.values().sum())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let bytes = self.tape.lock().bytes;
        self.total.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Somebody who hears a recording.
struct Listener {
    recording: Arc<Recording>,
    id: u64,
}

impl Listener {
    /// The next piece, once it is there.
    async fn next(&self) -> Option<io::Result<Bytes>> {
        let id = self.id;
        let look = |tape: &mut Tape| {
            let position = tape.listeners.get_mut(&id)?;
            match (tape.pieces.get(*position - tape.dropped), tape.end) {
                (Some(piece), _) => {
                    *position += 1;
                    Some(Some(Ok(piece.clone())))
                }
                (None, Some(Ending::Whole)) => Some(None),
                (None, Some(Ending::BrokenOff)) => Some(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                (None, None) => None,
            }
        };
        let piece = self.recording.tape.wait(look).await;
        self.recording.tape.announce();
        piece
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.recording.tape.edit(|tape| {
            tape.listeners.remove(&self.id);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    fn recording() -> Arc<Recording> {
        Arc::new(Recording::new(Arc::default()))
    }

    fn head() -> Parts {
        Response::new(()).into_parts().0
    }

    #[tokio::test]
    async fn whoever_comes_late_hears_it_from_the_beginning() {
        let recording = recording();
        let early = tokio::spawn(recording.clone().listen());
        recording.begin(head(), false);
        recording.add("one ".into());
        let early = early.await.unwrap().unwrap();
        recording.add("two".into());
        let late = recording.clone().listen_again().await.unwrap();
        recording.end(Ending::Whole);
        for answer in [early, late, recording.clone().listen().await.unwrap()] {
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "one two");
        }
    }

    #[tokio::test]
    async fn what_was_dropped_is_not_passed_off_as_a_beginning() {
        let recording = recording();
        recording.begin(head(), false);
        recording.add("one".into());
        assert!(!recording.drop_heard(), "nobody has heard it");
        let mut body = recording.clone().listen().await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        assert!(recording.drop_heard());
        assert_eq!((recording.bytes(), recording.total.load(Ordering::Relaxed)), (0, 0));
        recording.add("two".into());
        assert_eq!(recording.clone().listen().await.err(), Some(Unheard::TooMuch));
        recording.end(Ending::Whole);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "two");
    }

    #[tokio::test]
    async fn an_answer_that_broke_off_breaks_off_for_everybody() {
        let recording = recording();
        recording.begin(head(), false);
        recording.add("one".into());
        recording.end(Ending::BrokenOff);
        assert!(recording.listen().await.unwrap().into_body().collect().await.is_err());
    }

    #[tokio::test]
    async fn whoever_waits_for_an_answer_that_never_comes_is_told() {
        let recording = recording();
        let waits = tokio::spawn(recording.clone().listen());
        recording.end(Ending::BrokenOff);
        assert_eq!(waits.await.unwrap().err(), Some(Unheard::NoAnswer));
        assert_eq!(recording.listen_again().await.err(), Some(Unheard::NoAnswer));
    }

    #[tokio::test]
    async fn it_is_known_when_the_last_listener_leaves() {
        let recording = recording();
        recording.begin(head(), false);
        assert!(recording.abandoned().now_or_never().is_none(), "nobody has come yet");
        let answer = recording.clone().listen().await.unwrap();
        assert!(recording.heard().now_or_never().is_some());
        assert!(recording.abandoned().now_or_never().is_none());
        drop(answer);
        assert!(recording.abandoned().now_or_never().is_some());
    }
}
