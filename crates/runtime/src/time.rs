//! Points in time that only move forward, and how they relate to the calendar.

use std::ops::Add;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::{Clock, Timestamp};
use tokio::time::Instant;

/// A point on the host's own clock: microseconds since the host started, negative for what was
/// before. It never jumps, whatever happens to the system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(i64);

impl Moment {
    /// The point `micros` microseconds after the host's start.
    pub(crate) const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the host's start.
    pub(crate) const fn micros(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// The first point not before `self` that is a multiple of `step` after the host's start.
    pub(crate) fn onto(self, step: Duration) -> Self {
        let step = micros(step).max(1);
        let past = self.0.rem_euclid(step);
        if past == 0 { self } else { Self(self.0.saturating_add(step - past)) }
    }

    /// The point `duration` earlier.
    pub(crate) fn earlier_by(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The host's clock: moments from tokio's clock, timestamps from the clock that was passed in.
#[derive(Clone)]
pub(crate) struct HostClock {
    origin: Instant,
    calendar: Arc<dyn Clock>,
}

impl HostClock {
    /// A clock that starts now.
    pub(crate) fn start(calendar: Arc<dyn Clock>) -> Self {
        Self { origin: Instant::now(), calendar }
    }

    /// The current moment.
    pub(crate) fn now(&self) -> Moment {
        Moment(micros(self.origin.elapsed()))
    }

    /// What the calendar says now.
    pub(crate) fn timestamp(&self) -> Timestamp {
        self.calendar.now()
    }

    /// When `moment` is, for tokio's timers.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.origin + Duration::from_micros(moment.0.max(0) as u64)
    }

    /// What the calendar says, or would say, at `moment`.
    pub(crate) fn timestamp_of(&self, moment: Moment) -> Timestamp {
        let offset_millis = (moment.0 - self.now().0) / 1_000;
        Timestamp::from_unix_millis(self.timestamp().unix_millis().saturating_add_signed(offset_millis))
    }

    /// The moment of a timestamp that an earlier host wrote; never in the future, as it may seem
    /// after the system's clock was set back.
    pub(crate) fn moment_of(&self, timestamp: Timestamp) -> Moment {
        self.now().earlier_by(self.timestamp().since(timestamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentcore_protocol::SystemClock;

    #[tokio::test(start_paused = true)]
    async fn a_timestamp_of_an_earlier_host_becomes_a_moment_before_the_start() {
        let clock = HostClock::start(Arc::new(SystemClock));
        let hour_ago = Timestamp::from_unix_millis(clock.timestamp().unix_millis() - 3_600_000);
        let age = clock.now().since(clock.moment_of(hour_ago));
        assert!(age.abs_diff(Duration::from_secs(3_600)) < Duration::from_secs(1), "{age:?}");
        let back = clock.timestamp_of(clock.moment_of(hour_ago)).unix_millis();
        assert!(back.abs_diff(hour_ago.unix_millis()) < 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timestamp_from_the_future_is_now() {
        let clock = HostClock::start(Arc::new(SystemClock));
        let tomorrow = Timestamp::from_unix_millis(clock.timestamp().unix_millis() + 86_400_000);
        assert_eq!(clock.moment_of(tomorrow), clock.now());
    }

    #[test]
    fn a_step_begins_at_a_multiple_of_its_length() {
        let step = Duration::from_micros(20);
        for (at, next) in [(0, 0), (1, 20), (20, 20), (-1, 0), (-20, -20), (-39, -20)] {
            assert_eq!(Moment::from_micros(at).onto(step), Moment::from_micros(next), "{at}");
        }
    }
}
