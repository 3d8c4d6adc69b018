//! Times and spans as people read them.

use std::time::Duration;

use agentcore_protocol::Timestamp;
use jiff::tz::TimeZone;

/// A point in time, in the local time zone, to the millisecond.
pub(crate) fn precise(at: Timestamp) -> String {
    format(at, &TimeZone::system(), "%Y-%m-%d %H:%M:%S%.3f")
}

/// A point in time, in the local time zone, to the second.
pub(crate) fn moment(at: Timestamp) -> String {
    format(at, &TimeZone::system(), "%Y-%m-%d %H:%M:%S")
}

fn format(at: Timestamp, zone: &TimeZone, pattern: &str) -> String {
    let millis = i64::try_from(at.unix_millis()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(timestamp) => timestamp.to_zoned_datetime(zone.clone()).strftime(pattern).to_string(),
        // Past the year 9999: a number is better than no line.
        Err(_) => format!("{millis} ms"),
    }
}

/// A span, to two units: `45 s`, `2 min 3 s`, `1 h 5 min`, `3 d 4 h`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match () {
        () if days > 0 => two(days, "d", hours % 24, "h"),
        () if hours > 0 => two(hours, "h", minutes % 60, "min"),
        () if minutes > 0 => two(minutes, "min", seconds % 60, "s"),
        () => format!("{seconds} s"),
    }
}

/// How long ago `at` was, or in how long it will be.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("in {}", span(at.since(now))) } else { format!("{} ago", span(now.since(at))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (123, "2 min 3 s"),
            (3_600, "1 h"),
            (28_740, "7 h 59 min"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_moment_is_told_in_its_time_zone() {
        let at = Timestamp::from_unix_millis(1_767_323_045_678);
        let utc = format(at, &TimeZone::UTC, "%Y-%m-%d %H:%M:%S%.3f");
        assert_eq!(utc, "2026-01-02 03:04:05.678");
        assert_eq!(
            format(Timestamp::from_unix_millis(u64::MAX), &TimeZone::UTC, "%Y"),
            format!("{} ms", i64::MAX)
        );
    }

    #[test]
    fn relative_times_look_both_ways() {
        let now = Timestamp::from_unix_millis(100_000);
        assert_eq!(relative(Timestamp::from_unix_millis(40_000), now), "1 min ago");
        assert_eq!(relative(Timestamp::from_unix_millis(145_000), now), "in 45 s");
    }
}
