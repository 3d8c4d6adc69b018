//! A bounded channel from Python to a response's body.
//!
//! Python never waits in it: a producer that finds it full leaves a callable behind, which is
//! called in the producer's lane once there is room. So a client that does not read occupies no
//! thread.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::Stream;
use pyo3::prelude::*;

use crate::lanes::Lane;

/// Above this many items, or bytes, a producer waits.
const MOST_ITEMS: usize = 64;
const MOST_BYTES: usize = 256 << 10;

/// Where Python puts the pieces of a body.
#[pyclass(frozen)]
pub(crate) struct Sink {
    channel: Arc<Channel<Bytes>>,
}

/// What has a weight in bytes, to be counted against a channel's bound.
pub(crate) trait Weigh {
    fn weight(&self) -> usize;
}

impl Weigh for Bytes {
    fn weight(&self) -> usize {
        self.len()
    }
}

pub(crate) struct Channel<T> {
    lane: Lane,
    state: Mutex<State<T>>,
}

struct State<T> {
    items: VecDeque<T>,
    bytes: usize,
    /// Called once there is room.
    parked: Option<Py<PyAny>>,
    /// Called when the client leaves.
    on_leave: Option<Py<PyAny>>,
    ended: bool,
    abandoned: bool,
    reader: Option<Waker>,
}

/// The other end: what was put in, as a stream. Dropped before its end, it tells the producer.
pub(crate) struct Items<T>(Arc<Channel<T>>);

/// A new channel whose producer lives in `lane`.
pub(crate) fn channel<T>(lane: Lane) -> (Arc<Channel<T>>, Items<T>) {
    let state = State {
        items: VecDeque::new(),
        bytes: 0,
        parked: None,
        on_leave: None,
        ended: false,
        abandoned: false,
        reader: None,
    };
    let channel = Arc::new(Channel { lane, state: Mutex::new(state) });
    (Arc::clone(&channel), Items(channel))
}

impl<T: Weigh> Channel<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item. `false`: wait for room before the next one, or stop, for nobody listens.
    pub(crate) fn push(&self, item: T) -> bool {
        let mut state = self.lock();
        if state.abandoned || state.ended {
            return false;
        }
        state.bytes += item.weight();
        state.items.push_back(item);
        let room = state.has_room();
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        room
    }

    /// Calls `resume` once there is room. `false`: there is, or nobody listens.
    pub(crate) fn park(&self, resume: Py<PyAny>) -> bool {
        let mut state = self.lock();
        let wait = !state.has_room() && !state.abandoned;
        if wait {
            state.parked = Some(resume);
        }
        wait
    }

    /// Calls `leave` when the client leaves before the end; at once if it has.
    pub(crate) fn on_leave(&self, leave: Py<PyAny>) {
        let mut state = self.lock();
        if state.abandoned {
            drop(state);
            self.lane.call(leave);
        } else {
            state.on_leave = Some(leave);
        }
    }

    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let (leave, reader) = (state.on_leave.take(), state.reader.take());
        drop(state);
        drop(leave);
        reader.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }
}

impl<T> State<T> {
    fn has_room(&self) -> bool {
        self.items.len() < MOST_ITEMS && self.bytes < MOST_BYTES
    }
}

impl<T: Weigh> Items<T> {
    pub(crate) fn poll_item(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        let Some(item) = state.items.pop_front() else {
            if state.ended {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.bytes -= item.weight();
        // Woken only when half is gone, so that producer and client do not take turns item by item.
        let resume = match state.items.len() <= MOST_ITEMS / 2 && state.bytes <= MOST_BYTES / 2 {
            true => state.parked.take(),
            false => None,
        };
        drop(state);
        resume.into_iter().for_each(|resume| self.0.lane.call(resume));
        Poll::Ready(Some(item))
    }
}

impl<T: Weigh> Stream for Items<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_item(cx)
    }
}

impl<T> Drop for Items<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.abandoned = true;
        let unread = std::mem::take(&mut state.items);
        let told = [state.parked.take(), state.on_leave.take()];
        drop(state);
        drop(unread);
        told.into_iter().flatten().for_each(|callable| self.0.lane.call(callable));
    }
}

impl Sink {
    pub(crate) fn new(channel: Arc<Channel<Bytes>>) -> Self {
        Self { channel }
    }
}

#[pymethods]
impl Sink {
    /// Adds a piece. False: wait (`park`) before the next one, or stop if `abandoned`.
    fn push(&self, piece: &[u8]) -> bool {
        self.channel.push(Bytes::copy_from_slice(piece))
    }

    /// Has `resume` called, in the producer's lane, once there is room or the client has left.
    /// False: that is so already.
    fn park(&self, resume: Py<PyAny>) -> bool {
        self.channel.park(resume)
    }

    /// Has `leave` called, in the producer's lane, when the client leaves before the end.
    fn on_leave(&self, leave: Py<PyAny>) {
        self.channel.on_leave(leave);
    }

    /// Whether the client has left.
    #[getter]
    fn abandoned(&self) -> bool {
        self.channel.is_abandoned()
    }

    /// Ends the body.
    fn close(&self) {
        self.channel.end();
    }
}
