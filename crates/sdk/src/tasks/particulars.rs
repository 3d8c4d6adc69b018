//! What is known of a task, whether it runs or has ended.

use std::borrow::Cow;

use agentcore_protocol::{TaskId, TaskRecord, TaskStatus, Timestamp};
use serde_json::value::RawValue;

#[derive(Clone)]
pub(super) struct Particulars {
    pub(super) name: Cow<'static, str>,
    pub(super) metadata: Option<Box<RawValue>>,
    pub(super) progress: Option<Box<RawValue>>,
    pub(super) started_at: Timestamp,
}

impl Particulars {
    /// The record of a task that has run for `duration` seconds, as if it were running.
    pub(super) fn record(&self, task_id: TaskId, duration: f64) -> TaskRecord {
        let Self { name, metadata, progress, started_at } = self.clone();
        TaskRecord {
            task_id,
            name: name.into_owned(),
            status: TaskStatus::Running,
            metadata,
            progress,
            result: None,
            error: None,
            started_at,
            finished_at: None,
            duration,
        }
    }
}
