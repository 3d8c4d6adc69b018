//! How often something may happen.

use crate::time::Moment;

/// A bucket that holds a second's worth of tokens and refills steadily.
pub(crate) struct TokenBucket {
    per_second: f64,
    tokens: f64,
    filled_at: Moment,
}

impl TokenBucket {
    pub(crate) fn full(per_second: u32, now: Moment) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, tokens: per_second, filled_at: now }
    }

    /// Whether nothing was taken lately.
    pub(crate) fn is_full(&self, now: Moment) -> bool {
        self.filled(now) >= self.per_second
    }

    fn filled(&self, now: Moment) -> f64 {
        let gained = now.since(self.filled_at).as_secs_f64() * self.per_second;
        (self.tokens + gained).min(self.per_second)
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Moment) -> bool {
        self.tokens = self.filled(now);
        self.filled_at = now;
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_brings_back_what_a_burst_took() {
        let at = |millis: i64| Moment::from_micros(millis * 1_000);
        let mut bucket = TokenBucket::full(4, at(0));
        assert_eq!((0..6).filter(|_| bucket.take(at(0))).count(), 4);
        assert!(!bucket.take(at(200)));
        assert!(bucket.take(at(251)));
        assert!(!bucket.is_full(at(1_000)) && bucket.is_full(at(1_300)));
        assert_eq!((0..9).filter(|_| bucket.take(at(60_000))).count(), 4);
    }
}
