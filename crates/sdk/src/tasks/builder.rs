//! The description of a task that is about to begin.

use std::borrow::Cow;
use std::future::Future;

use serde::Serialize;
use serde_json::value::RawValue;

use super::guard::{Task, TaskGuard};
use super::{TaskHandle, Tasks};
use crate::outcome::Outcome;

/// A task that is about to begin: see [`Tasks::task`].
#[must_use = "nothing is tracked until the task is started or spawned"]
pub struct TaskBuilder<'a> {
    tasks: &'a Tasks,
    name: Cow<'static, str>,
    metadata: Option<Box<RawValue>>,
}

impl<'a> TaskBuilder<'a> {
    pub(super) fn new(tasks: &'a Tasks, name: Cow<'static, str>) -> Self {
        Self { tasks, name, metadata: None }
    }

    /// Attaches anything that can be turned into JSON, to be read with the task's info.
    pub fn metadata(mut self, metadata: impl Serialize) -> Self {
        self.metadata = self.tasks.metadata(&metadata);
        self
    }

    /// Begins a task whose work happens elsewhere. It is completed when the guard is dropped.
    pub fn start(self) -> TaskGuard {
        TaskGuard::start(self.tasks, self.name, self.metadata)
    }

    /// Spawns a future as a task. Its value, or its error, is kept and can be read afterwards.
    ///
    /// # Panics
    /// Called outside a tokio runtime, before the app is served.
    pub fn spawn<W, F, M>(self, work: W) -> TaskHandle<F::Output>
    where
        W: FnOnce(Task) -> F,
        F: Future + Send + 'static,
        F::Output: Outcome<M> + Send + 'static,
    {
        let guard = self.start();
        let future = work(guard.task().clone());
        TaskHandle::spawn(future, guard, Outcome::settle)
    }

    /// Runs blocking or computing work as a task, on a thread of its own. Its value, or its error,
    /// is kept and can be read afterwards. A thread cannot be interrupted: to be cancelled, the
    /// work looks at [`Task::is_cancelled`] now and then.
    ///
    /// # Panics
    /// Called outside a tokio runtime, before the app is served.
    pub fn spawn_blocking<W, T, M>(self, work: W) -> TaskHandle<T>
    where
        W: FnOnce(Task) -> T + Send + 'static,
        T: Outcome<M> + Send + 'static,
    {
        TaskHandle::spawn_thread(work, self.start(), Outcome::settle)
    }
}
