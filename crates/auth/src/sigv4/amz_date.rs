//! `20150830T123600Z`: how AWS writes a time.

use jiff::civil;
use jiff::tz::TimeZone;

const FORMAT: &str = "%Y%m%dT%H%M%SZ";
const LENGTH: usize = 16;

/// Seconds since the Unix epoch. Strict, since the text itself is what is signed: 16 characters,
/// and a date that exists.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let shape = |(index, byte): (usize, u8)| match index {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    if text.len() != LENGTH || !text.bytes().enumerate().all(shape) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i16>().ok();
    let small = |from| number(from, from + 2)?.try_into().ok();
    let (year, month, day) = (number(0, 4)?, small(4)?, small(6)?);
    let at = civil::DateTime::new(year, month, day, small(9)?, small(11)?, small(13)?, 0).ok()?;
    u64::try_from(TimeZone::UTC.to_timestamp(at).ok()?.as_second()).ok()
}

/// The text for a number of seconds since the Unix epoch.
pub(crate) fn format(seconds: u64) -> String {
    let timestamp =
        i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    timestamp.unwrap_or(jiff::Timestamp::MAX).strftime(FORMAT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_strictly_and_written_the_same() {
        assert_eq!(parse("20150830T123600Z"), Some(1_440_938_160));
        assert_eq!(format(1_440_938_160), "20150830T123600Z");
        for bad in [
            "",
            "20150830",
            "20150830T123600",
            "20150830t123600z",
            "20150230T123600Z",
            "20150830T246000Z",
            "19690101T000000Z",
            "+0150830T123600Z",
            " 20150830T12360Z",
            "2015-8-30T12360Z",
            "２０１５T12Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
