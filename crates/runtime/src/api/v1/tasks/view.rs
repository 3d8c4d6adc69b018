//! A task as the API shows it.

use agentcore_protocol::{IncarnationId, SessionId, TaskFailure, TaskId, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::session::reason::StopReason;
use crate::store::{RecordedTask, TaskState};

/// One task. Times are milliseconds since the Unix epoch.
#[derive(Debug, Serialize)]
pub(super) struct TaskView {
    task_id: TaskId,
    name: String,
    metadata: Option<Box<RawValue>>,
    status: TaskState,
    progress: Option<Box<RawValue>>,
    /// `null` too if it was too large to keep.
    result: Option<Box<RawValue>>,
    error: Option<TaskFailure>,
    started_at: Timestamp,
    updated_at: Timestamp,
    ended_at: Option<Timestamp>,
    agent: String,
    session_id: SessionId,
    incarnation: IncarnationId,
    /// Why its session ended, if it is lost.
    reason: Option<StopReason>,
}

impl From<RecordedTask> for TaskView {
    fn from(task: RecordedTask) -> Self {
        Self {
            task_id: task.task_id,
            name: task.name,
            metadata: task.metadata,
            status: task.state,
            progress: task.progress,
            result: task.result,
            error: task.error,
            started_at: task.started_at,
            updated_at: task.updated_at,
            ended_at: task.ended_at,
            agent: task.key.agent.to_string(),
            session_id: task.key.session,
            incarnation: task.incarnation,
            reason: task.reason,
        }
    }
}
