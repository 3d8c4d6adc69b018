//! The `Prefer` header (RFC 7240).

use std::time::Duration;

use axum::http::HeaderMap;

use super::PREFER;

/// The longest wait that is granted.
const LONGEST_WAIT: u64 = 10 * 60;

/// What of a caller's preferences the host knows. Others, and what cannot be read, are passed over:
/// they are preferences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Preferences {
    pub(super) respond_async: bool,
    pub(super) wait: Option<Duration>,
}

impl Preferences {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        for (name, value) in values.flat_map(preferences) {
            // Of a preference that is there twice, the first one counts.
            if name.eq_ignore_ascii_case("respond-async") {
                said.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && said.wait.is_none() {
                let seconds = value.parse::<u64>().ok();
                said.wait = seconds.map(|seconds| Duration::from_secs(seconds.min(LONGEST_WAIT)));
            }
        }
        said
    }
}

/// The preferences in one header, each with its value, without their parameters.
fn preferences(text: &str) -> impl Iterator<Item = (&str, String)> {
    elements(text, ',').into_iter().filter_map(|element| {
        let preference = *elements(element, ';').first()?;
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        Some((name.trim(), unquoted(value.trim())))
    })
}

/// The parts of a text between separators that are not in quotes.
fn elements(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|c: char| {
        let is_separator = c == separator && !quoted;
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = quoted;
        } else if c == '"' {
            quoted = !quoted;
        }
        is_separator
    })
    .collect()
}

fn unquoted(word: &str) -> String {
    let Some(inner) = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return word.to_owned();
    };
    let mut escaped = false;
    let plain = inner.chars().filter(|c| {
        escaped = *c == '\\' && !escaped;
        !escaped
    });
    plain.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn said(values: &[&str]) -> Preferences {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_str(value).unwrap());
        }
        Preferences::of(&headers)
    }

    fn wait(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn preferences_are_read_as_rfc_7240_writes_them() {
        for (value, wanted) in [
            ("respond-async", (true, None)),
            ("respond-async, wait=5", (true, wait(5))),
            ("Respond-Async;foo=\"a, b\" , WAIT = \"7\"", (true, wait(7))),
            ("wait=5", (false, wait(5))),
            ("handling=lenient, respond-async; x; y", (true, None)),
            ("foo=\"respond-async, wait=9\"", (false, None)),
            ("foo=\"a\\\"b, respond-async\", wait=1", (false, wait(1))),
            ("wait=3, wait=4", (false, wait(3))),
            ("respond-async, wait=99999999", (true, wait(LONGEST_WAIT))),
            ("respond-async, wait=soon", (true, None)),
            ("respond-asynchronously", (false, None)),
            ("", (false, None)),
        ] {
            let Preferences { respond_async, wait } = said(&[value]);
            assert_eq!((respond_async, wait), wanted, "{value}");
        }
        assert_eq!(said(&["wait=5", "respond-async"]), said(&["respond-async, wait=5"]));
    }

    fn token() -> impl Strategy<Value = String> {
        "[a-z][a-z0-9-]{0,8}"
            .prop_filter("none that is known", |name| name != "wait" && name != "respond-async")
    }

    proptest! {
        #[test]
        fn other_preferences_change_nothing(
            before in proptest::collection::vec((token(), "[ -~&&[^\"\\\\]]{0,8}"), 0..4),
            after in proptest::collection::vec(token(), 0..4),
            seconds in 0..LONGEST_WAIT,
        ) {
            let mut all: Vec<String> =
                before.iter().map(|(name, value)| format!("{name}=\"{value}\"; {name}=\"{value}\"")).collect();
            all.push("respond-async".to_owned());
            all.push(format!("wait={seconds}"));
            all.extend(after);
            prop_assert_eq!(
                said(&[&all.join(" , ")]),
                Preferences { respond_async: true, wait: wait(seconds) }
            );
        }

        #[test]
        fn anything_may_be_in_the_header(value in "[ -~]{0,64}") {
            said(&[&value]);
        }
    }
}
