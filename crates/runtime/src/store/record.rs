//! What the store holds, as the host sees it.

use std::str::FromStr;

use agentcore_protocol::{IncarnationId, LifecycleLimits, Timestamp};
use serde::Serialize;

use crate::key::SessionKey;
use crate::session::reason::StopReason;

/// The state of an incarnation, by its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    Starting,
    Active,
    Idle,
    Stopping,
    Stopped,
}

impl Phase {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it can be the current incarnation of its session.
    pub(crate) const fn is_current(self) -> bool {
        matches!(self, Self::Starting | Self::Active | Self::Idle)
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Starting, Self::Active, Self::Idle, Self::Stopping, Self::Stopped]
            .into_iter()
            .find(|phase| phase.as_str() == text)
            .ok_or_else(|| format!("unknown phase {text:?}"))
    }
}

/// The intent to start an incarnation. It is in the store before anything is spawned.
#[derive(Debug, Clone)]
pub(crate) struct NewIncarnation {
    pub(crate) id: IncarnationId,
    pub(crate) key: SessionKey,
    pub(crate) folder: String,
    pub(crate) limits: LifecycleLimits,
    pub(crate) started_at: Timestamp,
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TimelineEntry {
    pub(crate) at: Timestamp,
    pub(crate) event: String,
    pub(crate) detail: Option<String>,
}

/// What an incarnation has become.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) phase: Phase,
    pub(crate) idle_since: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) reason: Option<StopReason>,
    pub(crate) last_words: Option<String>,
}

/// All the store knows of an incarnation but its timeline.
#[derive(Debug, Clone)]
pub(crate) struct IncarnationRecord {
    pub(crate) begun: NewIncarnation,
    pub(crate) now: Change,
}
