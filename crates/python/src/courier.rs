//! Brings what the I/O threads have for other event loops than ours to them.
//!
//! When another server (uvicorn, a test client) drives the app, its loop waits for answers that
//! come from our I/O threads. Telling it needs the interpreter lock, so a Python thread of its own
//! does that, and nothing else.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::exchange::RawHeaders;

/// How long the thread stays without anything to deliver.
const IDLE: Duration = Duration::from_secs(10);

/// How long the thread may take to end.
const LEAVE: Duration = Duration::from_secs(5);

/// Something for whoever relays a request.
pub(crate) enum Message {
    /// Status and headers.
    Head(u16, RawHeaders),
    /// A piece of the body.
    Piece(Bytes),
    /// The end of the body.
    End,
}

#[derive(Default)]
pub(crate) struct Courier {
    state: Mutex<State>,
    work: Condvar,
    /// The thread is not [`away`](State::away) any more.
    back: Condvar,
    starter: OnceLock<Py<PyAny>>,
}

#[derive(Default)]
struct State {
    messages: VecDeque<(Py<PyAny>, Message)>,
    running: bool,
    /// The thread waits for messages, without the interpreter lock.
    away: bool,
    /// The thread ends once there are no messages, and no other is started.
    dismissed: bool,
}

impl Courier {
    pub(crate) fn set_starter(&self, starter: Py<PyAny>) {
        // Set once for an app; a second one would do the same.
        let _ = self.starter.set(starter);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `deliver` called with the message.
    pub(crate) fn push(&self, deliver: Py<PyAny>, message: Message) {
        self.lock().messages.push_back((deliver, message));
        self.work.notify_one();
    }

    /// Starts the thread, if it is not there. Called by Python threads, before they relay.
    pub(crate) fn ensure_running(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.lock();
        if state.dismissed || std::mem::replace(&mut state.running, true) {
            return Ok(());
        }
        drop(state);
        match self.starter.get().map(|starter| starter.call0(py)) {
            Some(Err(error)) => {
                self.lock().running = false;
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Delivers until there has been nothing for a while. The thread's whole life.
    pub(crate) fn run(&self, py: Python<'_>, still_needed: impl Fn() -> bool + Sync) {
        while let Some((deliver, message)) = self.next(py, &still_needed) {
            let delivered = match message {
                Message::Head(status, headers) => deliver.call1(py, (status, bytes_of(py, headers))),
                Message::Piece(piece) => deliver.call1(py, (0, PyBytes::new(py, &piece))),
                Message::End => deliver.call1(py, (0, py.None())),
            };
            if let Err(error) = delivered {
                error.write_unraisable(py, None);
            }
        }
    }

    /// Ends the thread, and waits until it does not want the interpreter lock any more.
    pub(crate) fn dismiss(&self) {
        let mut state = self.lock();
        state.dismissed = true;
        self.work.notify_one();
        let away = |state: &mut State| state.away;
        drop(self.back.wait_timeout_while(state, LEAVE, away).unwrap_or_else(PoisonError::into_inner));
    }

    fn next(
        &self,
        py: Python<'_>,
        still_needed: &(impl Fn() -> bool + Sync),
    ) -> Option<(Py<PyAny>, Message)> {
        self.lock().away = true;
        let message = py.detach(|| self.wait(still_needed));
        self.lock().away = false;
        self.back.notify_all();
        message
    }

    fn wait(&self, still_needed: impl Fn() -> bool) -> Option<(Py<PyAny>, Message)> {
        let mut state = self.lock();
        loop {
            if let Some(message) = state.messages.pop_front() {
                return Some(message);
            }
            if state.dismissed {
                state.running = false;
                return None;
            }
            let (woken, wait) = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if wait.timed_out() && state.messages.is_empty() && !still_needed() {
                state.running = false;
                return None;
            }
        }
    }
}

type PyHeaders<'py> = Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>;

fn bytes_of(py: Python<'_>, headers: RawHeaders) -> PyHeaders<'_> {
    let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
    headers.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}
