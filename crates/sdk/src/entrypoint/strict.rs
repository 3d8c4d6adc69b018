//! Holds every payload to the same JSON, whatever type a handler takes.
//!
//! serde passes over what a type has no field for: there, halves of characters, numbers beyond
//! all range and nesting without end go unseen. What is JSON must not depend on the handler, so
//! a text that a type was read from is looked over for what these need to be there at all, which most
//! have not. Only a text that might hold one is read again, by a reader that looks at everything
//! and keeps nothing.

use std::any::TypeId;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Fails where a `serde_json::Value` could not be read from `text`.
pub(super) fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str(text).map(|Checked| ())
}

/// As [`check`], for a text that a `P` was read from.
pub(super) fn check_read_as<P: 'static>(text: &str) -> serde_json::Result<()> {
    let looks_at_everything = [TypeId::of::<Value>(), TypeId::of::<Checked>()];
    if looks_at_everything.contains(&TypeId::of::<P>()) || !is_suspicious(text.as_bytes()) {
        return Ok(());
    }
    check(text)
}

/// A `serde_json::Value` has fewer levels than this.
const LEVELS: usize = 128;
/// Where there are not even so many digits in a row from a multiple of as many on, a number has fewer
/// than twice as many: without an exponent, an `f64` holds it.
const DIGITS: usize = 128;

/// Whether there may be something in `json` that a type passes over and a `Value` does not hold.
/// In doubt there is. Nothing is told apart but bytes, many at once.
fn is_suspicious(json: &[u8]) -> bool {
    let mut brackets = 0;
    for at in memchr::memchr3_iter(b'\\', b'[', b'{', json) {
        match json[at..] {
            // Half a character, even next to its other half.
            [b'\\', b'u', b'd' | b'D', ..] => return true,
            [b'\\', ..] => {}
            _ => brackets += 1,
        }
    }
    // Only types that want bytes let control characters pass within a string.
    let least = json.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    let has_exponent =
        json.iter().zip(json.get(1..).unwrap_or_default()).fold(false, |found, (byte, next)| {
            found | (byte.is_ascii_digit() & next.eq_ignore_ascii_case(&b'e'))
        });
    let mut blocks = json.chunks_exact(DIGITS);
    brackets >= LEVELS
        || least < b' '
        || has_exponent
        || blocks.any(|block| block.iter().all(u8::is_ascii_digit))
}

/// Any JSON, every part of which was read as if to keep it.
pub(super) struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while let Some(Self) = items.next_element()? {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while let Some((Self, Self)) = members.next_entry()? {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    fn fits_a_value(text: &str) -> bool {
        serde_json::from_str::<Value>(text).is_ok()
    }

    /// As a payload is found to be JSON where the type ignores all of it.
    fn found_good(text: &str) -> bool {
        serde_json::from_str::<IgnoredAny>(text).is_ok() && check_read_as::<IgnoredAny>(text).is_ok()
    }

    #[test]
    fn what_a_type_would_pass_over_is_found() {
        let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
        let digits = |count| "9".repeat(count);
        for (bad, good) in [
            (nested(128), nested(127)),
            (r#""\ud800""#.into(), r#""\ud83d\ude00""#.into()),
            (r#""\uDFFF""#.into(), r#""\uD7FF""#.into()),
            ("1e309".into(), "1e308".into()),
            ("-1E+309".into(), "-1E-309".into()),
            (digits(309), digits(308)),
            (digits(220) + "e99", digits(200) + "e99"),
            ("9.9e0000000400".into(), "0e400".into()),
        ] {
            assert!(fits_a_value(&good) && found_good(&good), "{good}");
            assert!(!fits_a_value(&bad) && !found_good(&bad), "{bad}");
            for part in [good, bad] {
                let text = format!(r#"{{"a":[1,"e\"9",{part}],"b\u00e9":-0.5e-400}}"#);
                assert_eq!(found_good(&text), fits_a_value(&text), "{text}");
            }
        }
    }

    #[test]
    fn what_payloads_usually_have_is_no_reason_to_read_them_again() {
        let usual = r#"{"prompt":"say \"hi\"\n\u00fc","on":true,"at":[1.5,-20],"n":null}"#;
        let long = format!(r#"{{"a":"{}","b":{}}}"#, "[".repeat(100), "1".repeat(100));
        for text in [usual, &long, "[]", " 1 ", "\"\"", ""] {
            assert!(!is_suspicious(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn control_characters_are_found_in_what_is_read_as_bytes() {
        struct Octets;
        impl<'de> Deserialize<'de> for Octets {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Taken;
                impl Visitor<'_> for Taken {
                    type Value = Octets;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("bytes")
                    }
                    fn visit_bytes<E>(self, _: &[u8]) -> Result<Octets, E> {
                        Ok(Octets)
                    }
                }
                deserializer.deserialize_bytes(Taken)
            }
        }
        for text in ["\"a\nb\"", r#""\ud800""#] {
            assert!(serde_json::from_str::<Octets>(text).is_ok());
            assert!(check_read_as::<Octets>(text).is_err(), "{text}");
        }
    }

    /// Texts that are JSON, or nearly, with what goes wrong in them.
    fn texts() -> impl Strategy<Value = String> {
        let number = "-?(0|[1-9][0-9]{0,3}|9{190,330})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?";
        let string = "\"([ -!#-\\[\\]-~]|\\\\[\"\\\\/bfnrt]|\\\\u[dD][0-9a-fA-F]{3}|\\\\u[0-9a-f]{4}){0,4}\"";
        let leaf = prop_oneof![number, string, "null|true|false|nul|", ".{0,3}"];
        leaf.prop_recursive(3, 24, 3, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
                (string, inner.clone()).prop_map(|(key, value)| format!("{{{key}:{value}}}")),
                (120..130usize, inner)
                    .prop_map(|(levels, value)| "[".repeat(levels) + &value + &"]".repeat(levels)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_passes_is_exactly_what_a_value_holds(text in texts()) {
            prop_assert_eq!(check(&text).is_ok(), fits_a_value(&text));
            prop_assert_eq!(found_good(&text), fits_a_value(&text));
        }

        #[test]
        fn so_it_does_for_any_text(text: String) {
            prop_assert_eq!(check(&text).is_ok(), fits_a_value(&text));
            prop_assert_eq!(found_good(&text), fits_a_value(&text));
        }
    }
}
