//! A running task, for the code that runs it.

use std::sync::{Mutex, PoisonError};

use bedrock_agentcore::{TaskGuard, Tasks};
use pyo3::prelude::*;
use pyo3::types::PyString;
use serde_json::value::RawValue;

/// A task that runs until it is completed, failed or cancelled, or this object is dropped.
#[pyclass(frozen)]
pub(crate) struct Task {
    tasks: Tasks,
    guard: Mutex<Option<TaskGuard>>,
    #[pyo3(get)]
    id: u64,
}

impl Task {
    pub(crate) fn start(tasks: &Tasks, name: String) -> Self {
        let guard = tasks.task(name).start();
        Self { tasks: tasks.clone(), id: guard.id().get(), guard: Mutex::new(Some(guard)) }
    }

    fn take(&self) -> Option<TaskGuard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Task {
    /// Ends the task with its result: JSON.
    fn complete(&self, result: String) {
        let Some(guard) = self.take() else { return };
        match RawValue::from_string(result) {
            Ok(result) => guard.complete(result),
            // Not what `_json.py` writes. Then the task ends without a result.
            Err(_) => drop(guard),
        }
    }

    /// Ends the task as failed. The bytes of half a character in `message` become U+FFFD.
    fn fail(&self, kind: String, message: &Bound<'_, PyString>) {
        if let Some(guard) = self.take() {
            guard.fail_with(kind, message.to_string_lossy());
        }
    }

    /// Ends the task as cancelled.
    fn cancelled(&self) {
        if let Some(guard) = self.take() {
            self.tasks.cancel(guard.id());
        }
    }
}
