//! What a host tells of work that outlives its caller: invocations and tasks.

use std::fmt;

use agentcore_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::Reason;

/// An invocation that the host runs to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Invocation {
    pub(crate) id: String,
    pub(crate) agent: String,
    pub(crate) session_id: String,
    pub(crate) incarnation: String,
    /// accepted, running, completed, failed, cancelled, interrupted
    pub(crate) state: String,
    pub(crate) accepted_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) reason: Option<String>,
    pub(crate) answer: Option<Answer>,
}

/// The answer of an agent, as far as it is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) bytes: u64,
    #[serde(default)]
    pub(crate) complete: bool,
    /// If it is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Value>,
}

/// Invocations, newest first.
#[derive(Debug, Deserialize)]
pub(crate) struct Invocations {
    pub(crate) invocations: Vec<Invocation>,
}

/// A task of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) task_id: u64,
    pub(crate) name: String,
    pub(crate) metadata: Option<Value>,
    /// running, completed, failed, cancelled, lost
    pub(crate) status: String,
    pub(crate) progress: Option<Value>,
    pub(crate) result: Option<Value>,
    pub(crate) error: Option<TaskError>,
    pub(crate) started_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) agent: String,
    pub(crate) session_id: String,
    pub(crate) incarnation: String,
    pub(crate) reason: Option<Reason>,
}

/// Why a task failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TaskError {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) message: String,
}

/// Tasks, newest first.
#[derive(Debug, Deserialize)]
pub(crate) struct Tasks {
    pub(crate) tasks: Vec<Task>,
}

impl Invocation {
    /// Whether nothing more comes.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self.state.as_str(), "accepted" | "running")
    }
}

impl Answer {
    /// Whether it is a stream of server-sent events.
    pub(crate) fn is_event_stream(&self) -> bool {
        self.content_type.as_deref().is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"))
    }
}

impl Task {
    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.status != "running"
    }

    /// Its path below the host's own API.
    pub(crate) fn path(&self) -> String {
        format!("/tasks/{}/{}", self.incarnation, self.task_id)
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}
