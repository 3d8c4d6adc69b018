//! The lane of the thread with Python's event loop, which watches a descriptor for work.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use super::Job;

/// Work for the event loop.
pub(crate) struct EventLoop {
    jobs: Mutex<VecDeque<Job>>,
    /// There is a byte in the socket that the loop has not read yet.
    rung: AtomicBool,
    bell: UnixStream,
    ear: UnixStream,
}

impl EventLoop {
    pub(crate) fn new() -> io::Result<Self> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Self { jobs: Mutex::default(), rung: AtomicBool::new(false), bell, ear })
    }

    pub(crate) fn push(&self, job: Job) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Full means that a byte is waiting, which is all that is wanted.
            let _ = (&self.bell).write(&[0]);
        }
    }

    /// The descriptor that becomes readable when there is work.
    pub(crate) fn descriptor(&self) -> i32 {
        self.ear.as_raw_fd()
    }

    /// All work there is. Called by the event loop.
    pub(crate) fn drain(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let _ = (&self.ear).read(&mut [0; 64]);
        self.rung.store(false, Ordering::Release);
        let jobs = std::mem::take(&mut *self.jobs.lock().unwrap_or_else(PoisonError::into_inner));
        jobs.into_iter().map(|job| job.into_python(py)).collect()
    }
}
