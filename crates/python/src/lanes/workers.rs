//! The lane of the threads where handlers may block.
//!
//! They are Python's own threads, so that thread-locals last and debuggers see them, started as
//! they are needed: a few at once, more only when work waits because all of them are blocked. One
//! that has done its work takes what else is waiting before it gives up the interpreter lock:
//! getting the lock back is what costs most while other Python threads compute.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use super::Job;

/// Threads that are started without hesitation.
const FEW: usize = 8;
/// Threads that there are at most.
const MOST: usize = 64;
/// How long work waits, with [`FEW`] threads busy, before there is another one.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// Work for the worker threads.
pub(crate) struct Workers {
    state: Mutex<State>,
    work: Condvar,
    /// Starts a thread that calls [`serve`](Self::serve).
    starter: OnceLock<Py<PyAny>>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// Somebody is about to look whether work is stuck.
    watched: bool,
    /// How many jobs have been taken: if it stands still, work is stuck.
    taken: u64,
}

impl Workers {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), starter: OnceLock::new() }
    }

    pub(crate) fn set_starter(&self, starter: Py<PyAny>) {
        // Set once for an app; a second one would do the same.
        let _ = self.starter.set(starter);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(self: &Arc<Self>, job: Job) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            drop(state);
            self.work.notify_one();
        } else if state.threads < FEW {
            state.threads += 1;
            drop(state);
            self.start_thread();
        } else if !state.watched && state.threads < MOST {
            state.watched = true;
            let taken = state.taken;
            drop(state);
            self.watch(taken);
        }
    }

    /// Adds threads, one at a time, for as long as work waits and none is taken.
    fn watch(self: &Arc<Self>, mut taken: u64) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            self.lock().watched = false;
            return;
        };
        let workers = Arc::clone(self);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(PATIENCE).await;
                let mut state = workers.lock();
                if state.jobs.is_empty() || state.threads >= MOST {
                    state.watched = false;
                    return;
                }
                let stuck = state.taken == taken && state.idle == 0;
                taken = state.taken;
                if stuck {
                    state.threads += 1;
                    drop(state);
                    workers.start_thread();
                }
            }
        });
    }

    /// Has Python start a thread; from one of our own, since this needs the interpreter lock.
    fn start_thread(self: &Arc<Self>) {
        let workers = Arc::clone(self);
        let start = move || {
            Python::attach(|py| {
                let started = match workers.starter.get() {
                    Some(starter) => starter.call0(py).map(drop),
                    None => Ok(()),
                };
                if let Err(error) = started {
                    workers.lock().threads -= 1;
                    error.write_unraisable(py, None);
                }
            });
        };
        if std::thread::Builder::new().name("agentcore-starter".into()).spawn(start).is_err() {
            self.lock().threads -= 1;
        }
    }

    /// Works until there has been nothing to do for a while. A worker thread's whole life.
    pub(crate) fn serve(&self, py: Python<'_>, serve: &Bound<'_, PyAny>) {
        loop {
            // With the interpreter lock in hand: see the module's documentation.
            let job = self.take();
            let Some(job) = job.or_else(|| py.detach(|| self.wait())) else { return };
            job.run(py, serve);
        }
    }

    fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        let job = state.jobs.pop_front();
        state.taken += u64::from(job.is_some());
        job
    }

    fn wait(&self) -> Option<Job> {
        let mut state = self.lock();
        state.idle += 1;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.idle -= 1;
                state.taken += 1;
                return Some(job);
            }
            let (woken, wait) = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if wait.timed_out() && state.jobs.is_empty() {
                state.idle -= 1;
                state.threads -= 1;
                return None;
            }
        }
    }
}
