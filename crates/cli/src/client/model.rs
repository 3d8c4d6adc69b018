//! What a host answers. Fields that a younger host adds are ignored, and ones that an older host
//! does not know are empty.

use agentcore_protocol::{SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// A session, in one of its incarnations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) session_id: String,
    pub(crate) agent: String,
    pub(crate) incarnation: String,
    pub(crate) state: String,
    pub(crate) reason: Option<Reason>,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) idle_since: Option<Timestamp>,
    pub(crate) idle_deadline: Option<Timestamp>,
    pub(crate) max_lifetime_deadline: Option<Timestamp>,
    #[serde(default)]
    pub(crate) in_flight: u64,
    pub(crate) ping_status: Option<String>,
    pub(crate) usage: Option<Usage>,
}

/// Why a session ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub(crate) kind: String,
    pub(crate) detail: Option<String>,
}

/// What a session uses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) processes: u64,
}

/// A list of sessions, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sessions {
    pub(crate) sessions: Vec<Session>,
}

/// A session with its history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SessionDetail {
    #[serde(flatten)]
    pub(crate) session: Session,
    #[serde(default)]
    pub(crate) timeline: Vec<Event>,
    #[serde(default)]
    pub(crate) earlier: Vec<Session>,
}

/// The agents of a host.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Agents {
    pub(crate) agents: Vec<Agent>,
}

/// An agent of a host.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Agent {
    pub(crate) name: String,
    /// The session of those who name none.
    pub(crate) default_session: Option<SessionId>,
}

/// Something that happened to a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) event: String,
    pub(crate) detail: Option<String>,
}

/// A host about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HostInfo {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) started_at: Timestamp,
    pub(crate) state: String,
    pub(crate) listen: String,
    #[serde(default)]
    pub(crate) sessions: SessionCounts,
}

/// How many sessions are in which state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SessionCounts {
    #[serde(default)]
    pub(crate) starting: u64,
    #[serde(default)]
    pub(crate) active: u64,
    #[serde(default)]
    pub(crate) idle: u64,
    #[serde(default)]
    pub(crate) stopping: u64,
}

/// The body of an error.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorBody {
    /// Where callers are checked, an error is AWS's.
    #[serde(alias = "message")]
    pub(crate) error: String,
    pub(crate) details: Option<String>,
}
