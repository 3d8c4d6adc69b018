//! The lane of the threads where handlers may block.
//!
//! They are Python's own threads, so that thread-locals last and debuggers see them, started as
//! they are needed: a few at once, more only when work waits because all of them are blocked.
//!
//! Getting the interpreter lock is what costs most, so it is not asked for more often than needed.
//! A thread that has done its work takes what else is waiting before it gives the lock up. One
//! thread at a time is woken, and takes work only once it has the lock: if the thread that had it
//! has done all the work meanwhile, so much the better, and if that one blocks, there is another
//! to go on, which wakes the next.

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
/// How long threads without work may take to end.
const LEAVE: Duration = Duration::from_secs(5);

/// Work for the worker threads.
pub(crate) struct Workers {
    state: Mutex<State>,
    work: Condvar,
    /// There may be one less [`away`](State::away).
    back: Condvar,
    /// Starts a thread that calls [`started`](Self::started) and then [`next`](Self::next).
    starter: OnceLock<Py<PyAny>>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// A thread has been woken or started, and will look for work once it has the interpreter lock.
    coming: bool,
    /// Threads without the interpreter lock that will want it: they wait for work, or start.
    away: usize,
    /// Threads without work end, and there are no new ones.
    dismissed: bool,
    /// Somebody is about to look whether work is stuck.
    watched: bool,
    /// How many jobs have been taken: if it stands still, work is stuck.
    taken: u64,
}

impl Workers {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), back: Condvar::new(), starter: OnceLock::new() }
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
        let watch = state.jobs.len() > state.idle && (FEW..MOST).contains(&state.threads) && !state.watched;
        state.watched |= watch;
        let taken = state.taken;
        self.summon(state);
        if watch {
            self.watch(taken);
        }
    }

    /// Has one more thread look for work, if there is one to be had and none is coming.
    fn summon(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.coming || state.dismissed {
            return;
        }
        if state.idle > 0 {
            state.coming = true;
            drop(state);
            self.work.notify_one();
        } else if state.threads < FEW {
            self.add_thread(state);
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
                if state.jobs.is_empty() || state.threads >= MOST || state.dismissed {
                    state.watched = false;
                    return;
                }
                let stuck = state.taken == taken && state.idle == 0 && !state.coming;
                taken = state.taken;
                if stuck {
                    workers.add_thread(state);
                }
            }
        });
    }

    /// Has Python start a thread; from one of our own, since this needs the interpreter lock.
    fn add_thread(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        state.threads += 1;
        state.coming = true;
        // The new thread, and the one that starts it.
        state.away += 2;
        drop(state);
        let workers = Arc::clone(self);
        let start = move || {
            Python::attach(|py| {
                let started = workers.starter.get().map(|starter| starter.call0(py));
                if let Some(Err(error)) = started {
                    workers.lose_thread();
                    error.write_unraisable(py, None);
                }
            });
            workers.came_back(1);
        };
        if std::thread::Builder::new().name("agentcore-starter".into()).spawn(start).is_err() {
            self.lose_thread();
            self.came_back(1);
        }
    }

    /// A thread that was to come does not.
    fn lose_thread(&self) {
        let mut state = self.lock();
        state.threads -= 1;
        state.coming = false;
        drop(state);
        self.came_back(1);
    }

    fn came_back(&self, threads: usize) {
        let mut state = self.lock();
        state.away -= threads;
        if state.dismissed {
            self.back.notify_all();
        }
    }

    /// To be called first by a thread that was started.
    pub(crate) fn started(&self) {
        self.lock().coming = false;
        self.came_back(1);
    }

    /// What a worker thread is to do next. `None`: there was nothing for so long that it is to end.
    pub(crate) fn next(self: &Arc<Self>, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        loop {
            // With the interpreter lock in hand: see the module's documentation.
            if let Some(job) = self.take() {
                return Some(job.into_python(py));
            }
            self.lock().away += 1;
            let go_on = py.detach(|| self.wait());
            self.came_back(1);
            if !go_on {
                return None;
            }
            self.lock().coming = false;
        }
    }

    /// Ends the threads that have no work, and waits until none of them wants the interpreter lock
    /// any more: one that gets it when the interpreter ends would be unwound.
    pub(crate) fn dismiss(&self) {
        let mut state = self.lock();
        state.dismissed = true;
        self.work.notify_all();
        let away = |state: &mut State| state.away > 0;
        drop(self.back.wait_timeout_while(state, LEAVE, away).unwrap_or_else(PoisonError::into_inner));
    }

    fn take(self: &Arc<Self>) -> Option<Job> {
        let mut state = self.lock();
        let job = state.jobs.pop_front()?;
        state.taken += 1;
        if !state.jobs.is_empty() {
            // This job may block, and then somebody must be there for the others.
            self.summon(state);
        }
        Some(job)
    }

    /// Waits until it is time to look for work. `false`: there was none for so long that the
    /// thread is to end.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        if !state.jobs.is_empty() {
            return true;
        }
        let mut timed_out = true;
        if !state.dismissed {
            state.idle += 1;
            let (woken, wait) = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            (state, timed_out) = (woken, wait.timed_out());
            state.idle -= 1;
        }
        // Woken and timed out can be the same moment: whoever is expected comes.
        let end = state.jobs.is_empty() && (state.dismissed || timed_out && !state.coming);
        state.threads -= usize::from(end);
        !end
    }
}
