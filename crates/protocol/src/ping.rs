//! The health of an agent as `/ping` reports it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What an agent says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PingStatus {
    /// Ready for new work, no background tasks running.
    Healthy,
    /// Processing background tasks: the session must be kept alive.
    HealthyBusy,
}

impl PingStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::HealthyBusy => "HealthyBusy",
        }
    }

    /// `HealthyBusy` for `true`.
    pub const fn busy_if(busy: bool) -> Self {
        if busy { Self::HealthyBusy } else { Self::Healthy }
    }

    /// Whether the status keeps a session alive.
    pub const fn is_busy(self) -> bool {
        matches!(self, Self::HealthyBusy)
    }
}

impl fmt::Display for PingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is neither `Healthy` nor `HealthyBusy`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown ping status {0:?}: expected \"Healthy\" or \"HealthyBusy\"")]
pub struct UnknownPingStatus(pub String);

impl FromStr for PingStatus {
    type Err = UnknownPingStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "Healthy" => Ok(Self::Healthy),
            "HealthyBusy" => Ok(Self::HealthyBusy),
            other => Err(UnknownPingStatus(other.to_owned())),
        }
    }
}

/// The body of `GET /ping`, and the answer to the debug action `ping_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingReport {
    /// The status.
    pub status: PingStatus,
    /// Unix seconds of the last *change* of the status, never of the last ping. Agents that
    /// leave it out are understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_of_last_update: Option<u64>,
}

impl PingReport {
    /// A report of `status`, which last changed at `changed_at`.
    pub const fn new(status: PingStatus, changed_at: Timestamp) -> Self {
        Self { status, time_of_last_update: Some(changed_at.unix_seconds()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_compact_json_in_the_documented_order() {
        let report = PingReport::new(PingStatus::HealthyBusy, Timestamp::from_unix_millis(1_700_000_000_999));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(json, r#"{"status":"HealthyBusy","time_of_last_update":1700000000}"#);
    }

    #[test]
    fn a_report_without_a_timestamp_is_understood() {
        let report: PingReport = serde_json::from_str(r#"{"status":"Healthy"}"#).unwrap();
        assert_eq!(report, PingReport { status: PingStatus::Healthy, time_of_last_update: None });
    }

    #[test]
    fn an_unknown_status_is_named_in_the_error() {
        let error = "Sick".parse::<PingStatus>().unwrap_err();
        assert_eq!(error.to_string(), r#"unknown ping status "Sick": expected "Healthy" or "HealthyBusy""#);
    }
}
