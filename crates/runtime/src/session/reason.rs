//! Why a session ended.

use std::fmt;
use std::time::Duration;

use agentcore_sandbox::{Exit, ExitStatus};
use serde::{Deserialize, Serialize};

/// Why a session ended. Every stop has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReason {
    /// Which of the few reasons there are.
    pub kind: StopKind,
    /// What was seen, for people.
    pub detail: String,
}

/// The few reasons for which a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopKind {
    /// It was idle for its idle timeout.
    IdleTimeout,
    /// It reached its maximum life.
    MaxLifetime,
    /// Somebody asked for it.
    StopRequested,
    /// It no longer answered pings.
    HealthCheckFailed,
    /// Its program ended by itself.
    ProcessExited,
    /// It never answered a ping.
    StartupFailed,
    /// The host shut down, and was told to stop its sessions.
    HostShutdown,
    /// It ended while no host was there, as in a reboot.
    HostLost,
}

impl StopKind {
    /// The name in the API and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdleTimeout => "IdleTimeout",
            Self::MaxLifetime => "MaxLifetime",
            Self::StopRequested => "StopRequested",
            Self::HealthCheckFailed => "HealthCheckFailed",
            Self::ProcessExited => "ProcessExited",
            Self::StartupFailed => "StartupFailed",
            Self::HostShutdown => "HostShutdown",
            Self::HostLost => "HostLost",
        }
    }

    /// Whether the agent is to blame, so that the end of its log helps.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::HealthCheckFailed | Self::ProcessExited | Self::StartupFailed)
    }
}

impl StopReason {
    pub(crate) fn new(kind: StopKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(crate) fn idle(timeout: Duration) -> Self {
        Self::new(StopKind::IdleTimeout, format!("idle for {}", human(timeout)))
    }

    pub(crate) fn max_lifetime(life: Duration) -> Self {
        Self::new(StopKind::MaxLifetime, format!("alive for {}, the most it may be", human(life)))
    }

    pub(crate) fn unresponsive(silence: Duration, problem: &str) -> Self {
        Self::new(
            StopKind::HealthCheckFailed,
            format!("no good answer to GET /ping for {}: {problem}", human(silence)),
        )
    }

    pub(crate) fn never_healthy(waited: Duration, problem: &str) -> Self {
        Self::new(
            StopKind::StartupFailed,
            format!("no good answer to GET /ping within {}: {problem}", human(waited)),
        )
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.detail)
    }
}

/// How a program ended, for people: "exited with code 1".
pub(crate) fn describe_exit(exit: &Exit) -> String {
    let how = match exit.status {
        ExitStatus::Code(code) => format!("exited with code {code}"),
        ExitStatus::Signal(signal) => match signal_name(signal) {
            Some(name) => format!("ended by signal {signal} ({name})"),
            None => format!("ended by signal {signal}"),
        },
    };
    match exit.over_disk_limit {
        _ if exit.out_of_memory => format!("ran out of memory, {how}"),
        Some(limit) => format!(
            "its folders held more than {limit} bytes, or too many files for that, {how}: limits.disk_bytes of the \
             agent, or limits.disk_bytes_per_session of the host, lets it keep more"
        ),
        None => how,
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// A duration for people: "900 s", "1.5 s".
pub(crate) fn human(duration: Duration) -> String {
    let tenths = duration.as_millis() / 100;
    match tenths % 10 {
        0 => format!("{} s", tenths / 10),
        tenth => format!("{}.{tenth} s", tenths / 10),
    }
}
