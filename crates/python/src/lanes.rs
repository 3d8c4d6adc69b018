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
    /// Call this with the id of a task.
    CallFor(Arc<Py<PyAny>>, u64),
}

impl Job {
    /// As Python has it: a request, a socket, or something to be called.
    ///
    /// It is for Python to do it, below no frame of ours: a thread that still runs while the
    /// interpreter ends is unwound, which Rust does not survive.
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(match self {
            Self::Exchange(exchange) => Bound::new(py, *exchange)?.into_any().unbind(),
            Self::Socket(socket) => Bound::new(py, *socket)?.into_any().unbind(),
            Self::Call(callable) => callable,
            Self::CallFor(callable, task) => {
                let partial = py.import("functools")?.getattr("partial")?;
                partial.call1((callable.bind(py), task))?.unbind()
            }
        })
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
