//! The one judgement of the agent's ping status.
//!
//! Forced status, then the custom handler, then automatic: busy while tasks are running. Nothing
//! here waits for a lock that an author's code could hold.

mod custom;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use agentcore_protocol::{Clock, PingReport, PingStatus, Timestamp};

use self::custom::CustomPing;
pub use self::custom::{IntoPingStatus, PingHandler};

/// A cheap handle to the agent's ping status. Take it as an argument of an entrypoint, or from
/// [`App::health`](crate::App::health).
#[derive(Clone)]
pub struct Health {
    judge: Arc<Judge>,
}

impl Health {
    pub(crate) fn new(judge: Arc<Judge>) -> Self {
        Self { judge }
    }

    pub(crate) fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The status as `/ping` would report it now. Asks the custom handler, if there is one.
    pub async fn get_current_ping_status(&self) -> PingStatus {
        self.judge.report().await.status
    }

    /// Forces the status, whatever tasks and the custom handler say.
    pub fn force_ping_status(&self, status: PingStatus) {
        self.judge.force(Some(status));
    }

    /// Lets the custom handler or the automatic rule decide again.
    pub fn clear_forced_ping_status(&self) {
        self.judge.force(None);
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("last", &self.judge.last.load().status).finish_non_exhaustive()
    }
}

/// What decides, and what was decided last.
pub(crate) struct Judge {
    busy: AtomicBool,
    forced: AtomicU8,
    last: LastReport,
    custom: OnceLock<CustomPing>,
    clock: Arc<dyn Clock>,
}

const NOT_FORCED: u8 = 0;
const FORCED_HEALTHY: u8 = 1;
const FORCED_BUSY: u8 = 2;

impl Judge {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            busy: AtomicBool::new(false),
            forced: AtomicU8::new(NOT_FORCED),
            last: LastReport::new(PingStatus::Healthy, clock.now()),
            custom: OnceLock::new(),
            clock,
        }
    }

    pub(crate) fn set_custom<M>(&self, handler: impl PingHandler<M>) -> bool {
        self.custom.set(CustomPing::new(handler)).is_ok()
    }

    /// The status now, and since when it is so.
    pub(crate) async fn report(&self) -> PingReport {
        if let Some(report) = self.report_now() {
            return report;
        }
        let custom = self.custom.get().expect("`report_now` answers where there is no custom handler");
        let status = custom.status().await.unwrap_or(self.automatic());
        // Forced while the handler was thinking: forced it is.
        self.last.follow(|| self.forced().unwrap_or(status), &*self.clock)
    }

    /// The same without waiting; `None` when the custom handler must be asked.
    pub(crate) fn report_now(&self) -> Option<PingReport> {
        if self.forced().is_none() && self.custom.get().is_some() {
            return None;
        }
        Some(self.last.follow(|| self.forced().unwrap_or(self.automatic()), &*self.clock))
    }

    /// Called under the registry's lock, so that changes arrive in their order.
    pub(crate) fn tasks_changed(&self, running: usize) {
        self.busy.store(running > 0, Ordering::Release);
        self.report_now();
    }

    fn force(&self, status: Option<PingStatus>) {
        let code = match status {
            None => NOT_FORCED,
            Some(PingStatus::Healthy) => FORCED_HEALTHY,
            Some(PingStatus::HealthyBusy) => FORCED_BUSY,
        };
        self.forced.store(code, Ordering::Release);
        self.report_now();
    }

    fn forced(&self) -> Option<PingStatus> {
        match self.forced.load(Ordering::Acquire) {
            FORCED_HEALTHY => Some(PingStatus::Healthy),
            FORCED_BUSY => Some(PingStatus::HealthyBusy),
            _ => None,
        }
    }

    fn automatic(&self) -> PingStatus {
        PingStatus::busy_if(self.busy.load(Ordering::Acquire))
    }
}

/// The status last reported and when it last changed, in one atomic word.
struct LastReport(AtomicU64);

impl LastReport {
    fn new(status: PingStatus, changed_at: Timestamp) -> Self {
        Self(AtomicU64::new(Self::pack(status, changed_at)))
    }

    fn pack(status: PingStatus, changed_at: Timestamp) -> u64 {
        changed_at.unix_millis() << 1 | u64::from(status.is_busy())
    }

    fn unpack(word: u64) -> PingReport {
        PingReport::new(PingStatus::busy_if(word & 1 == 1), Timestamp::from_unix_millis(word >> 1))
    }

    fn load(&self) -> PingReport {
        Self::unpack(self.0.load(Ordering::Acquire))
    }

    /// Records what `status` says, with the current time if it differs from the last one.
    ///
    /// `status` is asked again after each change: a ping that was overtaken by a task's start or
    /// end would else leave an old status behind, and the next ping a change that never was.
    fn follow(&self, status: impl Fn() -> PingStatus, clock: &dyn Clock) -> PingReport {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let status = status();
            if Self::unpack(word).status == status {
                return Self::unpack(word);
            }
            let changed = Self::pack(status, clock.now());
            word = match self.0.compare_exchange(word, changed, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => changed,
                Err(current) => current,
            };
        }
    }
}
