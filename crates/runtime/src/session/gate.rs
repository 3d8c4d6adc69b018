//! Counts the requests of a session in and out, without a lock and without its actor.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use tokio::sync::Notify;

use super::lifecycle::Requests;
use crate::time::Moment;

/// No request comes in any more.
const CLOSED: u32 = 1;
/// The actor holds the session for idle, and wants to know of the next request at once.
const DOZING: u32 = 2;
/// The other bits count the requests in flight.
const ONE: u32 = 4;
/// [`Gate::last_ended`] when none has ended yet.
const NEVER: i64 = i64::MIN;

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The session is ending.
    Closed,
    /// There are as many as there may be.
    Full,
}

/// The gate of one incarnation.
///
/// While a session is busy its actor looks at the count when it pings; a message per request
/// would cost more than the request. Only a request that ends idleness wakes the actor.
pub(crate) struct Gate {
    word: AtomicU32,
    last_ended: AtomicI64,
    woken: Notify,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(0), last_ended: AtomicI64::new(NEVER), woken: Notify::new() }
    }

    /// Counts a request in, unless the gate is closed or there are `limit` already.
    pub(crate) fn enter(&self, limit: u32) -> Result<(), Refused> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 {
                return Err(Refused::Closed);
            }
            if word / ONE >= limit {
                return Err(Refused::Full);
            }
            let next = (word & !DOZING) + ONE;
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(current) => word = current,
            }
        }
        if word & DOZING != 0 {
            self.woken.notify_one();
        }
        Ok(())
    }

    /// Counts a request out.
    pub(crate) fn leave(&self, now: Moment) {
        // Before the count, so that whoever sees no request in flight sees when the last one ended.
        self.last_ended.fetch_max(now.micros(), Ordering::AcqRel);
        self.word.fetch_sub(ONE, Ordering::AcqRel);
    }

    /// What has been counted.
    pub(crate) fn requests(&self) -> Requests {
        let in_flight = self.in_flight() > 0;
        let last_ended = match self.last_ended.load(Ordering::Acquire) {
            NEVER => None,
            micros => Some(Moment::from_micros(micros)),
        };
        Requests { in_flight, last_ended }
    }

    /// How many requests are in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.word.load(Ordering::Acquire) / ONE
    }

    /// Asks to be woken by the next request.
    pub(crate) fn doze(&self) {
        // One that is in flight already came in before, and wakes nobody.
        let before = self.word.fetch_or(DOZING, Ordering::AcqRel);
        if before / ONE > 0 {
            self.woken.notify_one();
        }
    }

    /// Returns once a request has ended a doze.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Closes the gate if no request is in flight. Whether it is closed now.
    pub(crate) fn close_if_unused(&self) -> bool {
        let closed = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            (word / ONE == 0).then_some(word | CLOSED)
        });
        closed.is_ok()
    }

    /// Closes the gate. Those in flight stay counted.
    pub(crate) fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Whether requests come in.
    pub(crate) fn is_open(&self) -> bool {
        self.word.load(Ordering::Acquire) & CLOSED == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_gate_with_a_request_in_flight_does_not_close_for_idleness() {
        let gate = Gate::new();
        gate.enter(8).unwrap();
        assert!(!gate.close_if_unused());
        gate.leave(Moment::from_micros(7));
        assert_eq!(gate.requests(), Requests { in_flight: false, last_ended: Some(Moment::from_micros(7)) });
        assert!(gate.close_if_unused());
        assert_eq!(gate.enter(8), Err(Refused::Closed));
        assert_eq!(gate.in_flight(), 0);
    }

    #[test]
    fn requests_beyond_the_limit_are_refused_until_one_ends() {
        let gate = Gate::new();
        gate.enter(2).unwrap();
        gate.enter(2).unwrap();
        assert_eq!(gate.enter(2), Err(Refused::Full));
        gate.leave(Moment::from_micros(1));
        assert_eq!(gate.enter(2), Ok(()));
    }

    #[test]
    fn only_the_request_that_ends_a_doze_wakes_the_actor() {
        let gate = Gate::new();
        gate.enter(8).unwrap();
        assert_eq!(gate.woken().now_or_never(), None, "not dozing");
        gate.leave(Moment::from_micros(1));
        gate.doze();
        gate.enter(8).unwrap();
        assert_eq!(gate.woken().now_or_never(), Some(()));
        gate.enter(8).unwrap();
        assert_eq!(gate.woken().now_or_never(), None);
    }

    #[test]
    fn a_doze_that_begins_with_a_request_in_flight_ends_at_once() {
        let gate = Gate::new();
        gate.enter(8).unwrap();
        gate.doze();
        assert_eq!(gate.woken().now_or_never(), Some(()));
    }
}
