//! A session as the API shows it.

use agentcore_protocol::{IncarnationId, PingStatus, SessionId, Timestamp};
use agentcore_sandbox::Usage;
use serde::Serialize;

use crate::session::reason::StopReason;
use crate::session::{SessionHandle, usage};
use crate::store::{IncarnationRecord, Phase};
use crate::time::HostClock;

/// One incarnation of a session. Times are milliseconds since the Unix epoch.
#[derive(Debug, Serialize)]
pub(super) struct SessionView {
    pub(super) session_id: SessionId,
    agent: String,
    pub(super) incarnation: IncarnationId,
    state: Phase,
    reason: Option<StopReason>,
    pub(super) started_at: Timestamp,
    ended_at: Option<Timestamp>,
    idle_since: Option<Timestamp>,
    idle_deadline: Option<Timestamp>,
    max_lifetime_deadline: Option<Timestamp>,
    in_flight: u32,
    ping_status: Option<PingStatus>,
    usage: Option<UsageView>,
}

#[derive(Debug, Serialize)]
struct UsageView {
    cpu_seconds: f64,
    memory_bytes: u64,
    processes: u32,
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        Self {
            cpu_seconds: usage.cpu.as_secs_f64(),
            memory_bytes: usage.memory_bytes,
            processes: usage.processes,
        }
    }
}

impl SessionView {
    /// An incarnation that has not stopped.
    pub(super) async fn living(session: &SessionHandle, clock: &HostClock) -> Self {
        let published = session.published();
        let usage = match session.sandbox() {
            Some(sandbox) => usage(sandbox.clone()).await,
            None => None,
        };
        // A request makes a session active before its actor has heard of it.
        let in_flight = session.in_flight();
        let active = published.phase == Phase::Idle && in_flight > 0;
        let idle = |moment| if active { None } else { moment };
        Self {
            session_id: session.key.session.clone(),
            agent: session.key.agent.to_string(),
            incarnation: session.incarnation,
            state: if active { Phase::Active } else { published.phase },
            reason: published.reason.map(|reason| with_last_words(reason, session.last_words())),
            started_at: session.started_at,
            ended_at: published.ended_at,
            idle_since: idle(published.idle_since).map(|moment| clock.timestamp_of(moment)),
            idle_deadline: idle(published.idle_deadline).map(|moment| clock.timestamp_of(moment)),
            max_lifetime_deadline: Some(clock.timestamp_of(published.life_ends)),
            in_flight,
            ping_status: published.ping_status,
            usage: usage.map(UsageView::from),
        }
    }

    /// An incarnation that is on record only.
    pub(super) fn recorded(record: IncarnationRecord) -> Self {
        let IncarnationRecord { begun, now } = record;
        Self {
            session_id: begun.key.session,
            agent: begun.key.agent.to_string(),
            incarnation: begun.id,
            state: now.phase,
            reason: now.reason.map(|reason| with_last_words(reason, now.last_words.as_deref())),
            started_at: begun.started_at,
            ended_at: now.ended_at,
            idle_since: now.idle_since,
            idle_deadline: None,
            max_lifetime_deadline: None,
            in_flight: 0,
            ping_status: None,
            usage: None,
        }
    }
}

/// The end of the log is part of why an agent failed.
fn with_last_words(reason: StopReason, last_words: Option<&str>) -> StopReason {
    match last_words {
        Some(words) => StopReason { detail: format!("{}\n{}", reason.detail, words.trim_end()), ..reason },
        None => reason,
    }
}
