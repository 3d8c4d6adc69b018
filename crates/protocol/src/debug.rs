//! Debug actions: payloads that ask the SDK itself, only when debug is on.

use serde::{Deserialize, Serialize};

/// The member of a payload that names a debug action.
pub const ACTION_KEY: &str = "_agent_core_app_action";

/// What a debug payload asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DebugAction {
    /// Answer as `/ping` does.
    PingStatus,
    /// List the running tasks.
    JobStatus,
    /// Force the status to `HealthyBusy`.
    ForceBusy,
    /// Force the status to `Healthy`.
    ForceHealthy,
    /// Let the custom handler or the automatic rule decide again.
    ClearForcedStatus,
}

impl DebugAction {
    /// The action of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ping_status" => Self::PingStatus,
            "job_status" => Self::JobStatus,
            "force_busy" => Self::ForceBusy,
            "force_healthy" => Self::ForceHealthy,
            "clear_forced_status" => Self::ClearForcedStatus,
            _ => return None,
        })
    }
}

/// The answer to `force_busy`, `force_healthy` and `clear_forced_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcedStatus {
    /// `HealthyBusy`, `Healthy` or `Cleared`.
    pub forced_status: ForcedStatusWord,
}

/// The words that [`ForcedStatus`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForcedStatusWord {
    /// The status is now forced to `HealthyBusy`.
    HealthyBusy,
    /// The status is now forced to `Healthy`.
    Healthy,
    /// Nothing is forced any more.
    Cleared,
}

/// The answer to `job_status`, and what `get_async_task_info` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus<Job> {
    /// How many tasks are running.
    pub active_count: usize,
    /// One entry a running task, oldest first.
    pub running_jobs: Vec<Job>,
}
