//! The threads that a host runs on: those of its runtime, and the [lanes](Lanes) that serve callers.

mod lanes;

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub(crate) use lanes::{LaneId, Lanes};

/// Most threads for what blocks: files, and the store. Each keeps the memory that its longest work
/// took; hundreds, which a thousand sessions that begin together would have, take more than those
/// sessions.
const MOST_BLOCKING: usize = 32;

/// A runtime for a [`Host`](crate::Host): a thread for each processor, and few for what blocks. The host
/// adds as many threads that serve its callers.
///
/// # Errors
/// The system gives no more threads or descriptors.
pub fn host_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().max_blocking_threads(MOST_BLOCKING).enable_all().build()
}

/// Tasks that belong to no caller: they run on the host's runtime, whichever thread begins them.
pub(crate) struct HostTasks {
    runtime: Handle,
    tasks: TaskTracker,
}

impl HostTasks {
    /// None yet, on the runtime that this is called on.
    pub(crate) fn new() -> Self {
        Self { runtime: Handle::current(), tasks: TaskTracker::new() }
    }

    /// Begins one.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Counts as one of them while it lives.
    pub(crate) fn token(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// Returns once all have ended.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use tokio::sync::oneshot;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_belongs_to_no_caller_keeps_no_lane_busy() {
        let (lanes, callers) = (Lanes::start().unwrap(), TaskTracker::new());
        let tasks = Arc::new(HostTasks::new());
        let (told, ran_on) = oneshot::channel();
        let begun = tasks.clone();
        lanes.spawn(&callers, async move {
            let own = LaneId::current();
            begun.spawn(async move { told.send((own, LaneId::current())).unwrap() });
        });
        let (caller, task) = ran_on.await.unwrap();
        assert_ne!(caller, task);
        assert_eq!(task, LaneId::current(), "this test is on the host's runtime");
        tasks.ended().await;
    }
}
