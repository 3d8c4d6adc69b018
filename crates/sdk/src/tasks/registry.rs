//! The table of tasks, and what a change in it means for the agent's status.
//!
//! The lock is held for a few instructions at a time and never while an author's code runs.
//! `/ping` does not take it at all: it reads what [`Judge`] was told.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use agentcore_protocol::debug::JobStatus;
use agentcore_protocol::journal::{JournalLine, TaskChange};
use agentcore_protocol::{Clock, TaskFailure, TaskId, TaskRecord, Timestamp};
use rustc_hash::FxHashMap;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::finished::{Ended, Finished, FinishedLimits};
use super::journal::Journal;
use super::particulars::Particulars;
use crate::health::Judge;

/// One running task, as `get_async_task_info` and the debug action `job_status` list it.
#[derive(Debug, Clone, Serialize)]
pub struct RunningTask {
    /// What its author called it.
    pub name: String,
    /// How long it has been running, in seconds.
    pub duration: f64,
    /// Which task.
    pub task_id: TaskId,
    /// What its author attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// What it last said of its progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Box<RawValue>>,
}

/// What came of asking a task to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelling {
    /// It is told now.
    Begun,
    /// It was told before.
    Already,
    /// No such task is running.
    NotRunning,
}

/// How a task ended.
pub(super) enum End {
    Completed(Option<Box<RawValue>>),
    Failed(TaskFailure),
    Cancelled,
}

pub(super) struct Registry {
    table: Mutex<Table>,
    journal: OnceLock<Journal>,
    clock: Arc<dyn Clock>,
    judge: Arc<Judge>,
    idle: Notify,
    runtime: OnceLock<Handle>,
    /// Fires once the agent is about to stop.
    pub(super) shutdown: CancellationToken,
}

struct Table {
    // A fast hash will do: ids are random already, and nobody but us makes them.
    running: FxHashMap<TaskId, Running>,
    started: u64,
    finished: Finished,
}

struct Running {
    /// Tasks are listed in the order in which they began; timestamps may be equal.
    order: u64,
    task: Particulars,
    started: Instant,
    cancel: CancellationToken,
}

impl Registry {
    pub(super) fn new(clock: Arc<dyn Clock>, judge: Arc<Judge>, limits: FinishedLimits) -> Self {
        Self {
            table: Mutex::new(Table {
                running: FxHashMap::default(),
                started: 0,
                finished: Finished::new(limits),
            }),
            journal: OnceLock::new(),
            clock,
            judge,
            idle: Notify::new(),
            runtime: OnceLock::new(),
            shutdown: CancellationToken::new(),
        }
    }

    pub(super) fn set_journal(&self, journal: Journal) {
        let table = self.table();
        // Tasks may have begun before the app is served: the journal begins with those.
        let mut running: Vec<_> = table.running.iter().collect();
        running.sort_unstable_by_key(|(_, task)| task.order);
        for (&task_id, task) in running {
            let Particulars { name, metadata, progress, started_at } = task.task.clone();
            let started = TaskChange::Started { name: name.into_owned(), metadata };
            journal.append(&JournalLine { at: started_at, task_id, change: started });
            if let Some(progress) = progress {
                let change = TaskChange::Progress(progress);
                journal.append(&JournalLine { at: self.clock.now(), task_id, change });
            }
        }
        // Served twice, an app goes on with the journal that it has.
        let _ = self.journal.set(journal);
    }

    /// Remembers the runtime that the app is served on.
    pub(super) fn set_runtime(&self, runtime: Handle) {
        let _ = self.runtime.set(runtime);
    }

    /// The runtime to spawn on: this thread's, else the one that the app is served on, so that
    /// tasks can be spawned from an author's own threads.
    ///
    /// # Panics
    /// There is neither, as with `tokio::spawn`.
    pub(super) fn runtime(&self) -> Handle {
        Handle::try_current()
            .ok()
            .or_else(|| self.runtime.get().cloned())
            .expect("a task is spawned within a tokio runtime, or after the app began to serve")
    }

    pub(super) fn set_finished_limits(&self, limits: FinishedLimits) {
        self.table().finished.set_limits(limits);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No invariant is broken halfway through a change, so a panic elsewhere spoils nothing.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to track a task. The token fires when someone cancels it.
    pub(super) fn start(
        &self,
        name: Cow<'static, str>,
        metadata: Option<Box<RawValue>>,
    ) -> (TaskId, CancellationToken) {
        let cancel = CancellationToken::new();
        let started_at = self.clock.now();
        let mut table = self.table();
        let id = loop {
            let id = TaskId::from_random(fastrand::u64(..));
            if !table.running.contains_key(&id) && table.finished.get(id).is_none() {
                break id;
            }
        };
        self.record_change(id, started_at, || TaskChange::Started {
            name: name.clone().into_owned(),
            metadata: metadata.clone(),
        });
        table.started += 1;
        let order = table.started;
        let started = Instant::now();
        let cancelled = cancel.clone();
        let task = Particulars { name, metadata, progress: None, started_at };
        table.running.insert(id, Running { order, task, started, cancel });
        self.judge.tasks_changed(table.running.len());
        (id, cancelled)
    }

    /// Ends a task. The end is said in a closure, so that a task which is unknown costs nothing.
    fn finish(&self, id: TaskId, end: impl FnOnce(&Running) -> End) -> bool {
        let finished_at = self.clock.now();
        let mut table = self.table();
        let Some(task) = table.running.remove(&id) else {
            drop(table);
            tracing::warn!(task.id = %id, "no such task is running: it was completed before, or never started");
            return false;
        };
        let end = end(&task);
        self.record_change(id, finished_at, || match &end {
            End::Completed(result) => TaskChange::Completed(result.clone()),
            End::Failed(failure) => TaskChange::Failed(failure.clone()),
            End::Cancelled => TaskChange::Cancelled,
        });
        let Running { task, started, cancel, .. } = task;
        let duration = started.elapsed().as_secs_f64();
        let gone = table.finished.insert(id, Ended { task, end, finished_at, duration });
        let left = table.running.len();
        self.judge.tasks_changed(left);
        drop(table);
        // What is freed need not be freed while others wait.
        drop((gone, cancel));
        if left == 0 {
            self.idle.notify_waiters();
        }
        true
    }

    pub(super) fn end(&self, id: TaskId, end: End) -> bool {
        self.finish(id, |_| end)
    }

    /// Ends a task that says it is done: completed, unless it was asked to end before that.
    pub(super) fn complete(&self, id: TaskId, result: Option<Box<RawValue>>) -> bool {
        self.finish(id, |task| match task.cancel.is_cancelled() {
            true => End::Cancelled,
            false => End::Completed(result),
        })
    }

    pub(super) fn progress(&self, id: TaskId, progress: Box<RawValue>) -> bool {
        let at = self.clock.now();
        let mut table = self.table();
        let Some(task) = table.running.get_mut(&id) else { return false };
        self.record_change(id, at, || TaskChange::Progress(progress.clone()));
        task.task.progress = Some(progress);
        true
    }

    pub(super) fn cancel(&self, id: TaskId) -> Cancelling {
        let cancel = self.table().running.get(&id).map(|task| task.cancel.clone());
        // Outside the lock: whoever waits for the token may be woken on this very thread.
        match cancel {
            None => Cancelling::NotRunning,
            Some(cancel) if cancel.is_cancelled() => Cancelling::Already,
            Some(cancel) => {
                cancel.cancel();
                Cancelling::Begun
            }
        }
    }

    pub(super) fn active_count(&self) -> usize {
        self.table().running.len()
    }

    pub(super) fn running(&self) -> JobStatus<RunningTask> {
        let table = self.table();
        let mut tasks: Vec<_> = table.running.iter().collect();
        tasks.sort_unstable_by_key(|(_, task)| task.order);
        let running_jobs = tasks.into_iter().map(|(&task_id, task)| task.info(task_id)).collect();
        JobStatus { active_count: table.running.len(), running_jobs }
    }

    pub(super) fn record(&self, id: TaskId) -> Option<TaskRecord> {
        let table = self.table();
        match table.running.get(&id) {
            Some(task) => Some(task.task.record(id, task.started.elapsed().as_secs_f64())),
            None => table.finished.get(id).map(|ended| ended.record(id)),
        }
    }

    pub(super) fn finished(&self) -> Vec<TaskRecord> {
        self.table().finished.oldest_first().map(|(id, ended)| ended.record(id)).collect()
    }

    /// Resolves once no task is running.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.active_count() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Called with the table locked, so that the journal has the changes in their order.
    fn record_change(&self, task_id: TaskId, at: Timestamp, change: impl FnOnce() -> TaskChange) {
        if let Some(journal) = self.journal.get() {
            journal.append(&JournalLine { at, task_id, change: change() });
        }
    }
}

impl Running {
    fn info(&self, task_id: TaskId) -> RunningTask {
        let Particulars { name, metadata, progress, .. } = self.task.clone();
        RunningTask {
            name: name.into_owned(),
            duration: self.started.elapsed().as_secs_f64(),
            task_id,
            metadata,
            progress,
        }
    }
}
