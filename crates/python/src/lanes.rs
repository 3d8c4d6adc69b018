//! Lanes: how work gets from the I/O threads to Python's threads without the interpreter lock.

mod event_loop;
mod workers;

use std::sync::Arc;

use pyo3::prelude::*;

pub(crate) use self::event_loop::EventLoop;
pub(crate) use self::workers::Workers;
use crate::exchange::Exchange;
use crate::socket::Socket;

/// Something for Python to do.
pub(crate) enum Job {
    /// Answer a request.
    Exchange(Box<Exchange>),
    /// Serve a WebSocket.
    Socket(Box<Socket>),
    /// Call this.
    Call(Py<PyAny>),
}

impl Job {
    /// Does it: requests and sockets are given to `serve`.
    fn run(self, py: Python<'_>, serve: &Bound<'_, PyAny>) {
        let done = match self {
            Self::Exchange(exchange) => {
                Bound::new(py, *exchange).and_then(|exchange| serve.call1((exchange,)))
            }
            Self::Socket(socket) => Bound::new(py, *socket).and_then(|socket| serve.call1((socket,))),
            Self::Call(callable) => callable.bind(py).call0(),
        };
        if let Err(error) = done {
            error.write_unraisable(py, Some(serve));
        }
    }
}

/// One of the two lanes.
#[derive(Clone)]
pub(crate) enum Lane {
    /// Threads where handlers may block.
    Workers(Arc<Workers>),
    /// The thread with the event loop.
    Loop(Arc<EventLoop>),
}

impl Lane {
    pub(crate) fn push(&self, job: Job) {
        match self {
            Self::Workers(workers) => workers.push(job),
            Self::Loop(event_loop) => event_loop.push(job),
        }
    }

    pub(crate) fn call(&self, callable: Py<PyAny>) {
        self.push(Job::Call(callable));
    }
}
