//! Holds every payload to the same JSON, whatever type a handler takes.
//!
//! serde passes over what a type has no field for: there, halves of characters, numbers beyond
//! all range and nesting without end go unseen. What is JSON must not depend on the handler, so a
//! text is read once before, by a reader that looks at everything and keeps nothing. It goes over
//! long strings eight bytes at a time, and takes less than a search for what could be wrong would.

use std::any::TypeId;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Fails where a `serde_json::Value` could not be read from `text`.
pub(super) fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str(text).map(|Checked| ())
}

/// Whether `P` itself looks at everything.
pub(super) fn checks<P: 'static>() -> bool {
    let known = [TypeId::of::<Value>(), TypeId::of::<Checked>()];
    known.contains(&TypeId::of::<P>())
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

    fn fits_a_value(text: &str) -> bool {
        serde_json::from_str::<Value>(text).is_ok()
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
            assert!(fits_a_value(&good) && check(&good).is_ok(), "{good}");
            assert!(!fits_a_value(&bad) && check(&bad).is_err(), "{bad}");
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
        }

        #[test]
        fn so_it_does_for_any_text(text: String) {
            prop_assert_eq!(check(&text).is_ok(), fits_a_value(&text));
        }
    }
}
