//! A task as its own code sees it, and the guard that ends it.

use std::sync::Arc;

use agentcore_protocol::{TaskFailure, TaskId};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::registry::End;
use super::{TaskError, Tasks, panic_message};
use crate::outcome::Settled;

/// A task as its own code sees it: its id, its progress, and whether it should end.
#[derive(Clone)]
pub struct Task {
    id: TaskId,
    tasks: Tasks,
    cancel: CancellationToken,
}

impl Task {
    /// Which task this is.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Says how far the task is: any JSON. It replaces what was said before; what cannot be turned
    /// into JSON is logged and left out.
    pub fn report_progress(&self, progress: impl Serialize) {
        self.tasks.report_progress(self.id, progress);
    }

    /// Whether the task should end: someone cancelled it, or the agent is about to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled() || self.tasks.registry.shutdown.is_cancelled()
    }

    /// Resolves once the task should end: someone cancelled it, or the agent is about to stop.
    pub async fn cancelled(&self) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.tasks.registry.shutdown.cancelled() => {}
        }
    }

    /// Fires when someone cancels the task, and only then.
    pub(super) fn cancel_token(&self) -> &CancellationToken {
        &self.cancel
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.tasks
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A task that runs as long as this guard lives: dropping it completes the task, so that no way
/// out of a function leaves the agent busy. Dropped by a panic, the task has failed.
///
/// ```
/// # use bedrock_agentcore::{App, Tasks};
/// # use serde_json::{Value, json};
/// async fn handler(event: Value, tasks: Tasks) -> Value {
///     let task = tasks.task("data_processing").start();
///     let id = task.id();
///     std::thread::spawn(move || {
///         task.report_progress(json!({"rows": 100}));
///         task.complete(json!({"rows": 200}));
///     });
///     json!({"status": "Task started", "task_id": id})
/// }
/// ```
#[must_use = "the task is completed when the guard is dropped"]
pub struct TaskGuard {
    task: Task,
    ended: bool,
}

impl TaskGuard {
    pub(super) fn start(
        tasks: &Tasks,
        name: std::borrow::Cow<'static, str>,
        metadata: Option<Box<RawValue>>,
    ) -> Self {
        let (id, cancel) = tasks.registry.start(name, metadata);
        Self { task: Task { id, tasks: tasks.clone(), cancel }, ended: false }
    }

    /// The task as its own code sees it, to be handed to that code.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Completes the task with a result that can be read afterwards. One that cannot be turned into
    /// JSON is logged and left out.
    pub fn complete(self, result: impl Serialize) {
        let result = self.task.tasks.to_json("result", &result);
        self.settle(Settled::Completed(result));
    }

    /// Ends the task as failed, with the error's message.
    pub fn fail(self, error: impl std::fmt::Display) {
        self.settle(Settled::Failed(TaskFailure { kind: "Error".into(), message: error.to_string() }));
    }

    /// Ends the task as failed, with a word for the kind of error, such as the name of its type.
    pub fn fail_with(self, kind: impl Into<String>, message: impl Into<String>) {
        self.settle(Settled::Failed(TaskFailure { kind: kind.into(), message: message.into() }));
    }

    pub(super) fn settle(mut self, settled: Settled) {
        let registry = &self.task.tasks.registry;
        match settled {
            Settled::Completed(result) => registry.complete(self.task.id, result),
            Settled::Failed(failure) => registry.end(self.task.id, End::Failed(failure)),
        };
        self.ended = true;
    }

    /// Ends the task as failed by a panic.
    pub(super) fn panicked(self, panic: &(dyn std::any::Any + Send)) -> TaskError {
        let message = panic_message(panic);
        self.settle(Settled::Failed(panicked(&message)));
        TaskError::Panicked(message)
    }

    pub(super) fn cancelled(mut self) {
        self.task.tasks.registry.end(self.task.id, End::Cancelled);
        self.ended = true;
    }
}

impl std::ops::Deref for TaskGuard {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let registry = Arc::clone(&self.task.tasks.registry);
        if std::thread::panicking() {
            registry.end(self.task.id, End::Failed(panicked("the code that held the task panicked")));
        } else {
            registry.complete(self.task.id, None);
        }
    }
}

/// The failure of a task that panicked.
fn panicked(message: &str) -> TaskFailure {
    TaskFailure { kind: "panic".into(), message: message.into() }
}
