//! The record of one background task.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::ids::TaskId;

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Working: the agent is busy.
    Running,
    /// Ended with a result.
    Completed,
    /// Ended with an error, or panicked.
    Failed,
    /// Ended because someone asked for it, or its future was dropped.
    Cancelled,
}

impl TaskStatus {
    /// Whether the task has ended.
    pub const fn is_finished(self) -> bool {
        !matches!(self, Self::Running)
    }
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// The error's type, such as `ParseIntError` or `panic`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The error's message.
    pub message: String,
}

/// Everything known of one task. Times are Unix milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Which task.
    pub task_id: TaskId,
    /// What its author called it.
    pub name: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// What its author attached when it began.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// What it last said of its progress.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub progress: Option<Box<RawValue>>,
    /// Its result, once completed. Missing if it was too large to keep.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// Its error, once failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskFailure>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How long it ran, or has been running, in seconds.
    pub duration: f64,
}

/// Reads a member that is there, `null` included: serde's own reading takes `null` for a missing
/// one, and a task's result or progress may well be `null`.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_of_null_is_a_result() {
        let json =
            r#"{"task_id":1,"name":"t","status":"completed","result":null,"started_at":1,"duration":0.0}"#;
        let record: TaskRecord = serde_json::from_str(json).unwrap();
        assert_eq!(record.result.as_deref().map(RawValue::get), Some("null"));
        assert!(record.progress.is_none());
        assert_eq!(serde_json::to_string(&record).unwrap(), json);
    }
}
