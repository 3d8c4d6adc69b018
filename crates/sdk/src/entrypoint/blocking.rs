//! The threads that blocking handlers run on.
//!
//! A pool of our own rather than the runtime's: it is bounded, so that handlers queue up instead
//! of filling the machine with threads, and a process that is told to stop does not wait for it. Its
//! threads let those go first that answer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentcore_sandbox::threads::give_way;

type Job = Box<dyn FnOnce() + Send>;

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// A bounded pool of threads, started as they are needed.
#[derive(Clone)]
pub(crate) struct BlockingPool {
    shared: Arc<Shared>,
}

struct Shared {
    max_threads: usize,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl BlockingPool {
    pub(crate) fn new(max_threads: usize) -> Self {
        let shared =
            Shared { max_threads: max_threads.max(1), state: Mutex::default(), work: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Runs `job` as soon as a thread is free. A panic ends the job alone.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.lock();
        state.queue.push_back(Box::new(job));
        if state.idle >= state.queue.len() || state.threads >= self.shared.max_threads {
            drop(state);
            self.shared.work.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        let started =
            std::thread::Builder::new().name("agentcore-handler".into()).spawn(move || shared.serve());
        if let Err(error) = started {
            self.shared.thread_missing();
            tracing::error!(%error, "no further thread for blocking handlers: requests wait for those there are");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread that was counted could not be started.
    fn thread_missing(&self) {
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads == 0 {
            // Nobody would ever run these: dropped, they tell their requests so.
            let stranded = std::mem::take(&mut state.queue);
            drop(state);
            drop(stranded);
        }
    }

    fn serve(&self) {
        if let Err(error) = give_way() {
            tracing::debug!(%error, "/ping may wait for handlers that compute");
        }
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                // Jobs catch their own panics to report them; this one keeps the count right.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, wait) = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if wait.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::mpsc;

    #[test]
    fn jobs_run_side_by_side_up_to_the_bound_and_then_wait() {
        let pool = BlockingPool::new(2);
        let (done, finished) = mpsc::channel();
        let barrier = Arc::new(Barrier::new(2));
        for n in 0..6 {
            let (done, barrier) = (done.clone(), Arc::clone(&barrier));
            pool.run(move || {
                barrier.wait(); // passes only if two run at once
                done.send(n).unwrap();
            });
        }
        let mut seen: Vec<i32> = finished.iter().take(6).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        assert!(pool.shared.lock().threads <= 2);
    }

    #[test]
    fn jobs_that_no_thread_will_ever_run_are_dropped_so_that_their_requests_end() {
        let pool = BlockingPool::new(1);
        let (done, finished) = mpsc::channel::<()>();
        let mut state = pool.shared.lock();
        state.threads = 1;
        state.queue.push_back(Box::new(move || done.send(()).unwrap()));
        drop(state);
        pool.shared.thread_missing();
        assert_eq!(finished.recv(), Err(mpsc::RecvError));
    }

    #[test]
    fn a_panic_costs_no_thread() {
        let pool = BlockingPool::new(1);
        let (done, finished) = mpsc::channel();
        pool.run(|| panic!("on purpose"));
        pool.run(move || done.send(()).unwrap());
        finished.recv().unwrap();
        assert_eq!(pool.shared.lock().threads, 1);
    }
}
