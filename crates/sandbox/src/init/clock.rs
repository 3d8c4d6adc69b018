//! Time for timers. Init has no tokio, whose clock everything else goes by.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since some fixed point.
pub(super) fn monotonic() -> Duration {
    // This clock is there on every Linux.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}
