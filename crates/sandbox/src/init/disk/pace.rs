//! How long to wait between looks.

use std::time::Duration;

use super::Amount;

/// As fast as sessions are taken to write: memory takes it faster than any disk. What could be faster,
/// asking for space without writing to it, is refused by seccomp.
const BYTES_PER_SECOND: u64 = 2 << 30;
/// As fast as they are taken to make files.
const FILES_PER_SECOND: u64 = 100_000;

const SOONEST: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_secs(10);

/// A look takes one part in so many of a processor's time.
const PARTS: u32 = 20;

/// From the end of a look, whose last piece took so long, to the next one: what is `left` cannot be
/// filled before.
pub(super) fn until_next(left: Amount, took: Duration) -> Duration {
    let bytes = Duration::from_millis(left.bytes / (BYTES_PER_SECOND / 1_000));
    let files = Duration::from_millis(left.files / (FILES_PER_SECOND / 1_000));
    bytes.min(files).clamp(SOONEST, LATEST).max(pause_after(took))
}

/// Between two pieces of a look.
pub(super) fn pause_after(took: Duration) -> Duration {
    took * (PARTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = u64::MAX;

    #[test]
    fn the_next_look_is_when_what_is_left_could_be_full() {
        let wait = |bytes, files| until_next(Amount { bytes, files }, Duration::ZERO);
        assert_eq!(wait(4 << 30, MOST).as_millis() / 10, 200);
        assert_eq!(wait(MOST, 300_000), Duration::from_secs(3));
        assert_eq!(wait(0, MOST), SOONEST);
        assert_eq!(wait(MOST, MOST), LATEST);
    }

    #[test]
    fn looks_take_a_twentieth_of_a_processor_at_most() {
        let took = Duration::from_millis(7);
        let waited = until_next(Amount::default(), took);
        assert_eq!(took + waited, took * 20);
    }
}
