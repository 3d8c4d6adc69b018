//! What others hold of a session: cheap to clone, and enough for the request path.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use agentcore_protocol::{IncarnationId, LifecycleLimits, PingStatus, Timestamp};
use agentcore_sandbox::{IncarnationFolder, Sandbox};
use tokio::sync::{mpsc, oneshot, watch};

use super::gate::{Gate, Refused};
use super::reason::StopReason;
use crate::journal::Journal;
use crate::key::SessionKey;
use crate::link::Links;
use crate::store::Phase;
use crate::time::{HostClock, Moment};

/// Commands that may wait for an actor.
pub(super) const COMMANDS: usize = 16;

/// What an actor tells about its incarnation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Published {
    pub(crate) phase: Phase,
    pub(crate) ping_status: Option<PingStatus>,
    /// When [`Published::status`] changed last.
    pub(crate) status_since: Moment,
    pub(crate) idle_since: Option<Moment>,
    pub(crate) idle_deadline: Option<Moment>,
    pub(crate) life_ends: Moment,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) reason: Option<StopReason>,
}

impl Published {
    /// The status of an agent that cannot be asked: one that starts or is blocked is busy, whatever it
    /// said last.
    pub(crate) fn status(&self) -> PingStatus {
        match self.phase {
            Phase::Active => PingStatus::HealthyBusy,
            _ => self.ping_status.unwrap_or(PingStatus::Healthy),
        }
    }
}

/// What can be asked of an actor.
pub(super) enum Command {
    /// Stop, and say so once it is decided: whether there was anything to stop.
    Stop(StopReason, oneshot::Sender<bool>),
    /// Write it into the timeline.
    Note(&'static str, String),
    /// Leave the sandbox as it is, and end.
    Leave,
}

/// A handle to one incarnation of a session.
#[derive(Clone)]
pub(crate) struct SessionHandle(Arc<Shared>);

/// What an incarnation's actor and its handles share.
pub(crate) struct Shared {
    pub(crate) key: SessionKey,
    pub(crate) incarnation: IncarnationId,
    pub(crate) folder: PathBuf,
    /// Where its agent's code is; `None`: an earlier host began it, and knew.
    pub(crate) code: Option<PathBuf>,
    pub(crate) limits: LifecycleLimits,
    pub(crate) started_at: Timestamp,
    pub(super) gate: Gate,
    pub(crate) links: Links,
    pub(super) clock: HostClock,
    pub(super) sandbox: OnceLock<Arc<dyn Sandbox>>,
    pub(super) last_words: OnceLock<String>,
    pub(super) published: watch::Sender<Published>,
    pub(super) commands: mpsc::Sender<Command>,
}

/// A request that is counted in; dropping it counts it out.
pub(crate) struct InFlight(SessionHandle);

/// What became of a session that a caller waited for or talked to.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) reason: StopReason,
    pub(crate) last_words: Option<String>,
}

impl SessionHandle {
    pub(super) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Where its agent tells of its tasks.
    pub(super) fn journal(&self) -> Journal {
        Journal {
            folder: IncarnationFolder::new(&self.folder).journal(),
            incarnation: self.incarnation,
            key: self.key.clone(),
            started_at: self.started_at,
        }
    }

    /// Counts a request in.
    pub(crate) fn enter(&self, limit: u32) -> Result<InFlight, Refused> {
        self.gate.enter(limit).map(|()| InFlight(self.clone()))
    }

    /// Returns once the agent has answered a ping, with what to connect to.
    pub(crate) async fn ready(&self) -> Result<&Arc<dyn Sandbox>, Ended> {
        if self.published.borrow().phase == Phase::Starting {
            // Boxed, so that calls of sessions which run already are no larger for it.
            Box::pin(self.until(|published| published.phase != Phase::Starting)).await;
        }
        let phase = self.published.borrow().phase;
        match (self.sandbox.get(), phase) {
            (Some(sandbox), phase) if phase.is_current() => Ok(sandbox),
            _ => Err(self.ended()),
        }
    }

    async fn until(&self, condition: impl Fn(&Published) -> bool) {
        let mut published = self.published.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = published.wait_for(condition).await;
    }

    /// Whether the agent can be reached at once.
    pub(crate) fn is_ready(&self) -> bool {
        let phase = self.published.borrow().phase;
        phase != Phase::Starting && phase.is_current() && self.sandbox.get().is_some()
    }

    /// Why it ends or has ended.
    pub(crate) fn ended(&self) -> Ended {
        let reason = self.published.borrow().reason.clone();
        let unknown = || StopReason::new(super::reason::StopKind::HostLost, "the session has ended");
        Ended { reason: reason.unwrap_or_else(unknown), last_words: self.last_words.get().cloned() }
    }

    /// The end of the agent's log, once the agent has failed.
    pub(crate) fn last_words(&self) -> Option<&str> {
        self.last_words.get().map(String::as_str)
    }

    /// Returns once the session is ending.
    pub(crate) async fn until_ending(&self) -> Ended {
        self.until(|published| !published.phase.is_current()).await;
        self.ended()
    }

    /// What the actor told last.
    pub(crate) fn published(&self) -> Published {
        self.published.borrow().clone()
    }

    /// How many requests are in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.gate.in_flight()
    }

    /// Whether requests come in.
    pub(crate) fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// The sandbox, once there is one.
    pub(crate) fn sandbox(&self) -> Option<&Arc<dyn Sandbox>> {
        self.sandbox.get()
    }

    /// Has it stopped. Returns once that is decided: whether there was anything to stop.
    pub(crate) async fn stop(&self, reason: StopReason) -> bool {
        let (reply, decided) = oneshot::channel();
        let sent = self.commands.send(Command::Stop(reason, reply)).await;
        sent.is_ok() && decided.await.unwrap_or(false)
    }

    /// Has its actor end and the sandbox go on.
    pub(crate) async fn leave(&self) {
        let _ = self.commands.send(Command::Leave).await;
    }

    /// Writes into the timeline, unless the actor is swamped.
    pub(crate) fn note(&self, event: &'static str, detail: String) {
        let _ = self.commands.try_send(Command::Note(event, detail));
    }
}

impl std::ops::Deref for SessionHandle {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl InFlight {
    /// The session that the request belongs to.
    pub(crate) fn session(&self) -> &SessionHandle {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.gate.leave(self.0.clock.now());
    }
}
