//! Tasks in the store: what a journal changes, and what can be read of it.

mod read;
mod write;

use std::str::FromStr;

use agentcore_protocol::{IncarnationId, SessionId, TaskFailure, TaskId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::key::SessionKey;
use crate::session::reason::StopReason;

pub(super) use write::{apply, forget, forget_some_of, lose, prune};

/// Where a task stands, as the host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TaskState {
    Running,
    Completed,
    Failed,
    Cancelled,
    /// Its session ended first.
    Lost,
}

impl TaskState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

impl FromStr for TaskState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Lost]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("unknown status {text:?}"))
    }
}

/// How far a journal has been read, and in which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct JournalPosition {
    pub(crate) inode: u64,
    pub(crate) offset: u64,
}

/// What a piece of a journal changes, and where the next one begins.
#[derive(Debug)]
pub(crate) struct TaskChanges {
    pub(crate) incarnation: IncarnationId,
    pub(crate) key: SessionKey,
    pub(crate) position: JournalPosition,
    pub(crate) updates: Vec<TaskUpdate>,
    /// When it was read.
    pub(crate) at: Timestamp,
}

/// What happened to one task, in this order. Of its progress only the latest counts.
#[derive(Debug)]
pub(crate) struct TaskUpdate {
    pub(crate) task_id: TaskId,
    pub(crate) started: Option<TaskStart>,
    pub(crate) progress: Option<(Timestamp, Box<RawValue>)>,
    pub(crate) end: Option<(Timestamp, TaskEnd)>,
}

/// How a task began.
#[derive(Debug)]
pub(crate) struct TaskStart {
    pub(crate) at: Timestamp,
    pub(crate) name: String,
    pub(crate) metadata: Option<Box<RawValue>>,
}

/// How a task ended.
#[derive(Debug)]
pub(crate) enum TaskEnd {
    Completed(Option<Box<RawValue>>),
    Failed(TaskFailure),
    Cancelled,
}

/// All the store knows of a task.
#[derive(Debug)]
pub(crate) struct RecordedTask {
    pub(crate) task_id: TaskId,
    pub(crate) incarnation: IncarnationId,
    pub(crate) key: SessionKey,
    pub(crate) name: String,
    pub(crate) state: TaskState,
    pub(crate) metadata: Option<Box<RawValue>>,
    pub(crate) progress: Option<Box<RawValue>>,
    pub(crate) result: Option<Box<RawValue>>,
    pub(crate) error: Option<TaskFailure>,
    pub(crate) reason: Option<StopReason>,
    pub(crate) started_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

/// Which tasks to list, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskFilter {
    /// Whose; `None`: everybody's.
    pub(crate) principal: Option<crate::key::Principal>,
    pub(crate) agent: Option<String>,
    pub(crate) session: Option<SessionId>,
    pub(crate) state: Option<TaskState>,
    pub(crate) task_id: Option<TaskId>,
    /// Only those that come after this one in the list.
    pub(crate) before: Option<(IncarnationId, TaskId)>,
    pub(crate) limit: u32,
}

#[cfg(test)]
mod tests;
