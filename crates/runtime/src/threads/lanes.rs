//! One thread for each processor, and on each some of the connections.
//!
//! A connection stays on its lane from its first byte to its last, and so do the connections to agents
//! that its requests use: what wakes it wakes the thread that has its state at hand. On a runtime that
//! spreads its tasks over all threads, a request changes threads in its middle, and all that it touches
//! moves from one processor's cache to another's.
//!
//! The price is that a thread which is busy is waited for even if another one has nothing to do. What
//! takes its time and belongs to no caller is therefore left to [`HostTasks`](super::HostTasks).

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::MOST_BLOCKING;

thread_local! {
    static CURRENT: Cell<LaneId> = const { Cell::new(LaneId(0)) };
}

static LAST: AtomicUsize = AtomicUsize::new(0);

/// What tells lanes apart. All threads that are none share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneId(usize);

impl LaneId {
    /// That of this thread.
    pub(crate) fn current() -> Self {
        CURRENT.get()
    }
}

/// The lanes of a host. They end when this is dropped, and what is still on them with them.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    _ending: DropGuard,
}

struct Lane {
    runtime: Handle,
    /// Each connection on it holds one more.
    load: Arc<()>,
}

impl Lanes {
    /// As many as the runtime has workers that this is called on. On a runtime of one thread there is
    /// none: it serves its connections itself.
    pub(crate) fn start() -> io::Result<Self> {
        let host = Handle::current();
        let count = match host.runtime_flavor() {
            RuntimeFlavor::CurrentThread => 0,
            _ => host.metrics().num_workers(),
        };
        let ending = CancellationToken::new();
        let lanes = (0..count).map(|_| Lane::start(count, ending.clone())).collect::<io::Result<_>>();
        // If one does not start, those before it end.
        let _ending = ending.drop_guard();
        Ok(Self { lanes: lanes?, _ending })
    }

    /// Serves a connection on the lane that has the fewest, and counts it in `tasks`.
    pub(crate) fn spawn(&self, tasks: &TaskTracker, connection: impl Future<Output = ()> + Send + 'static) {
        match self.lanes.iter().min_by_key(|lane| Arc::strong_count(&lane.load)) {
            None => drop(tasks.spawn(connection)),
            Some(lane) => {
                let load = lane.load.clone();
                let connection = async move {
                    connection.await;
                    drop(load);
                };
                tasks.spawn_on(connection, &lane.runtime);
            }
        }
    }
}

impl Lane {
    /// One of `count`.
    fn start(count: usize, ending: CancellationToken) -> io::Result<Self> {
        let blocking = (MOST_BLOCKING / count).max(2);
        let runtime = Builder::new_current_thread().max_blocking_threads(blocking).enable_all().build()?;
        let handle = runtime.handle().clone();
        let id = LaneId(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        thread::Builder::new().name(format!("lane-{}", id.0)).spawn(move || run(id, runtime, &ending))?;
        Ok(Self { runtime: handle, load: Arc::default() })
    }
}

fn run(id: LaneId, runtime: Runtime, ending: &CancellationToken) {
    CURRENT.set(id);
    runtime.block_on(ending.cancelled());
    // A file that does not answer is not to keep the thread.
    runtime.shutdown_background();
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::sync::mpsc;

    /// A connection that tells its lane, and then rests until it is told to end.
    fn resting(
        told: &mpsc::UnboundedSender<LaneId>,
        end: &CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let (told, end) = (told.clone(), end.clone());
        async move {
            told.send(LaneId::current()).unwrap();
            end.cancelled().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn connections_go_where_the_fewest_are() {
        let (lanes, tasks) = (Lanes::start().unwrap(), TaskTracker::new());
        let (told, mut lane) = mpsc::unbounded_channel();
        let ends = [(); 3].map(|()| CancellationToken::new());
        let mut first = Vec::new();
        for end in &ends {
            lanes.spawn(&tasks, resting(&told, end));
            first.push(lane.recv().await.unwrap());
        }
        assert!(first[0] != first[1] && first[1] != first[2] && first[2] != first[0], "{first:?}");
        assert!(!first.contains(&LaneId::current()));
        ends[1].cancel();
        while Arc::strong_count(&lanes.lanes[1].load) > 1 {
            tokio::task::yield_now().await;
        }
        lanes.spawn(&tasks, resting(&told, &ends[0]));
        assert_eq!(lane.recv().await.unwrap(), first[1]);
        ends.iter().for_each(CancellationToken::cancel);
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_on_lanes_ends_with_them() {
        let (lanes, tasks) = (Lanes::start().unwrap(), TaskTracker::new());
        let (told, mut lane) = mpsc::unbounded_channel();
        lanes.spawn(&tasks, resting(&told, &CancellationToken::new()));
        lane.recv().await.unwrap();
        drop(lanes);
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_serves_connections_itself() {
        let (lanes, tasks) = (Lanes::start().unwrap(), TaskTracker::new());
        let (told, mut lane) = mpsc::unbounded_channel();
        lanes.spawn(&tasks, resting(&told, &CancellationToken::new()));
        assert_eq!(lane.recv().await.unwrap(), LaneId::current());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_that_panics_takes_its_lane_from_nobody() {
        let (lanes, tasks) = (Lanes::start().unwrap(), TaskTracker::new());
        let (told, mut lane) = mpsc::unbounded_channel();
        for _ in 0..lanes.lanes.len() {
            lanes.spawn(&tasks, async { panic!("as an error in the code of the host would") });
        }
        tasks.close();
        tasks.wait().await;
        assert!(lanes.lanes.iter().all(|lane| Arc::strong_count(&lane.load) == 1));
        lanes.spawn(&tasks, resting(&told, &CancellationToken::new()));
        assert_ne!(lane.recv().await.unwrap(), LaneId::current());
    }
}
