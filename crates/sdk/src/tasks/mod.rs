//! Background work that keeps a session alive.
//!
//! [`Tasks`] is the handle that everything goes through: the attribute
//! [`#[async_task]`](macro@crate::async_task), tasks spawned by hand, and tasks that are only
//! counted while the work happens somewhere else. While at least one task runs, the agent's
//! automatic ping status is `HealthyBusy`.

mod async_task;
mod builder;
mod current;
mod finished;
mod guard;
mod journal;
mod particulars;
mod registry;
mod tracked;

use std::borrow::Cow;
use std::sync::Arc;

use agentcore_protocol::debug::JobStatus;
use agentcore_protocol::{Clock, TaskId, TaskRecord};
use serde::Serialize;
use serde_json::value::to_raw_value;

pub use self::async_task::AsyncTask;
pub use self::builder::TaskBuilder;
pub use self::finished::FinishedLimits;
pub use self::guard::{Task, TaskGuard};
pub(crate) use self::journal::Journal;
pub(crate) use self::registry::Cancelling;
use self::registry::Registry;
pub use self::registry::RunningTask;
pub(crate) use self::tracked::panic_message;
pub use self::tracked::{TaskError, TaskHandle};
use crate::health::Judge;

/// A cheap handle to the app's tasks. Take it as an argument of an entrypoint, or from
/// [`App::tasks`](crate::App::tasks).
///
/// ```
/// use bedrock_agentcore::{App, Tasks};
/// use serde_json::{Value, json};
///
/// async fn handler(event: Value, tasks: Tasks) -> Value {
///     let task = tasks.task("data_processing").metadata(json!({"batch": 100})).spawn(async |task| {
///         task.report_progress(json!({"done": 0.5}));
///         "done"
///     });
///     json!({"status": "started", "task_id": task.id()})
/// }
///
/// let app = App::new().entrypoint(handler);
/// ```
#[derive(Clone)]
pub struct Tasks {
    registry: Arc<Registry>,
}

impl Tasks {
    pub(crate) fn new(clock: Arc<dyn Clock>, judge: Arc<Judge>, limits: FinishedLimits) -> Self {
        Self { registry: Arc::new(Registry::new(clock, judge, limits)) }
    }

    /// Tasks that belong to no app.
    fn detached() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(agentcore_protocol::SystemClock);
        Self::new(Arc::clone(&clock), Arc::new(Judge::new(clock)), FinishedLimits::default())
    }

    pub(crate) fn set_journal(&self, journal: Journal) {
        self.registry.set_journal(journal);
    }

    pub(crate) fn set_runtime(&self, runtime: tokio::runtime::Handle) {
        self.registry.set_runtime(runtime);
    }

    pub(crate) fn set_finished_limits(&self, limits: FinishedLimits) {
        self.registry.set_finished_limits(limits);
    }

    /// Begins the description of a task; nothing is tracked until it is started or spawned.
    pub fn task(&self, name: impl Into<Cow<'static, str>>) -> TaskBuilder<'_> {
        TaskBuilder::new(self, name.into())
    }

    /// Starts to track a task: the agent is busy until [`complete_async_task`] is called with the
    /// id that this returns.
    ///
    /// This is the seed's own interface, for work that happens elsewhere. [`TaskBuilder::start`]
    /// does the same with a guard that cannot be forgotten.
    ///
    /// [`complete_async_task`]: Self::complete_async_task
    pub fn add_async_task(&self, name: impl Into<Cow<'static, str>>, metadata: impl Serialize) -> TaskId {
        self.registry.start(name.into(), self.metadata(&metadata)).0
    }

    /// Marks a task as completed, without a result. `false`, and a warning in the log, when no
    /// such task is running.
    pub fn complete_async_task(&self, id: TaskId) -> bool {
        self.registry.complete(id, None)
    }

    /// The tasks that are running, oldest first.
    pub fn get_async_task_info(&self) -> JobStatus<RunningTask> {
        self.registry.running()
    }

    /// Everything known of one task, running or finished. `None` when there never was such a
    /// task, or it finished so long ago that it made room for others.
    pub fn get_async_task(&self, id: TaskId) -> Option<TaskRecord> {
        self.registry.record(id)
    }

    /// The finished tasks that are still kept, oldest first.
    pub fn finished(&self) -> Vec<TaskRecord> {
        self.registry.finished()
    }

    /// Says how far a task is: any JSON. `false` when no such task is running, or `progress`
    /// cannot be turned into JSON.
    pub fn report_progress(&self, id: TaskId, progress: impl Serialize) -> bool {
        self.to_json("progress", &progress).is_some_and(|json| self.registry.progress(id, json))
    }

    /// Asks a task to end. `false` when no such task is running.
    ///
    /// A spawned future, and one made by [`#[async_task]`](macro@crate::async_task), is dropped at
    /// its next await point, so destructors run, and the task is `cancelled`. Blocking tasks and
    /// those that are only counted cannot be interrupted: they see [`Task::is_cancelled`], and are
    /// `cancelled` once they end, unless they end with an error.
    pub fn cancel(&self, id: TaskId) -> bool {
        self.begin_to_cancel(id) != Cancelling::NotRunning
    }

    /// As [`cancel`](Self::cancel), and tells whether somebody did so before.
    pub(crate) fn begin_to_cancel(&self, id: TaskId) -> Cancelling {
        self.registry.cancel(id)
    }

    /// How many tasks are running.
    pub fn active_count(&self) -> usize {
        self.registry.active_count()
    }

    /// Tells every task that the agent is about to stop.
    pub(crate) fn announce_shutdown(&self) {
        self.registry.shutdown.cancel();
    }

    /// Waits until no task is running.
    pub(crate) async fn wait_idle(&self) {
        self.registry.idle().await;
    }

    /// Metadata as JSON; `None` and `()` are no metadata.
    fn metadata(&self, metadata: &impl Serialize) -> Option<Box<serde_json::value::RawValue>> {
        self.to_json("metadata", metadata).filter(|json| json.get() != "null")
    }

    fn to_json(&self, what: &str, value: &impl Serialize) -> Option<Box<serde_json::value::RawValue>> {
        to_raw_value(value)
            .inspect_err(
                |error| tracing::warn!(%error, "a task's {what} cannot be turned into JSON: it is left out"),
            )
            .ok()
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").field("active", &self.active_count()).finish_non_exhaustive()
    }
}
