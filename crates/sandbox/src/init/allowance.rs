//! How much of something there may be over time: a burst at any moment, but only so much on end.
//!
//! What init does for an agent is in none of the agent's limits. Whatever an agent can have it do over
//! and over again is therefore rationed.

use std::time::Duration;

/// What is left to be taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    per_second: u32,
    burst: u32,
    left: f64,
    counted: Duration,
}

impl Allowance {
    /// A burst of this much, which fills up again at this rate.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst, left: f64::from(burst), counted: Duration::ZERO }
    }

    /// Takes this much, for it has been used already. When to come again, if not at once: when there
    /// is enough for another while, so that a pause is worth its making.
    pub(super) fn take(&mut self, amount: usize, now: Duration) -> Option<Duration> {
        let passed = now.saturating_sub(self.counted).as_secs_f64();
        let (rate, burst) = (f64::from(self.per_second), f64::from(self.burst));
        self.left = (self.left + passed * rate).min(burst) - amount as f64;
        self.counted = now;
        let enough = burst / 32.0;
        (self.left <= 0.0).then(|| now + Duration::from_secs_f64((enough - self.left) / rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_what_lasts_keeps_to_the_rate() {
        let (mut allowance, mut now, mut taken) = (Allowance::new(100, 1_000), Duration::ZERO, 0);
        while now < Duration::from_secs(60) {
            now = allowance.take(10, now).unwrap_or(now);
            taken += 10;
        }
        assert!((6_900..=7_100).contains(&taken), "{taken}");
    }

    #[test]
    fn who_rests_has_a_burst_again_and_no_more() {
        let mut allowance = Allowance::new(100, 1_000);
        let later = Duration::from_secs(3_600);
        assert_eq!(allowance.take(999, later), None);
        assert!(allowance.take(1, later).is_some_and(|again| again > later));
    }
}
