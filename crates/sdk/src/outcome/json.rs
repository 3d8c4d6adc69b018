//! Writes JSON as `serde_json` does, byte for byte, in less time.
//!
//! `serde_json` looks at every byte of a text by itself, and answers are mostly text: that alone
//! was a tenth of what an invocation costs. `sonic-rs` looks at many at once. Where the two differ,
//! `serde_json` has the last word: it writes what is its own, and says what is wrong.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Serialize;

/// Most answers fit into this many bytes, and need not be moved: `sonic-rs` makes room for texts as if
/// each byte of them had to be escaped.
const USUAL: usize = 6 * 1024;

/// How `serde_json`'s own types, such as `RawValue`, begin to tell its serializer what they are.
/// Every other one takes them for objects whose key begins with it.
static ITS_OWN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"$serde_json::private::"));

/// Turns `value` into JSON.
///
/// # Errors
/// JSON cannot hold it: a map whose keys are no texts, or an error of the value's own.
pub(super) fn to_vec<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut json = Vec::with_capacity(USUAL);
    if sonic_rs::to_writer(&mut json, value).is_err() || has_its_own(&json) {
        json.clear();
        serde_json::to_writer(&mut json, value)?;
    }
    Ok(json)
}

fn has_its_own(json: &[u8]) -> bool {
    // Few answers have even the one character.
    memchr::memchr(b'$', json).is_some() && ITS_OWN.find(json).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::net::IpAddr;
    use std::time::Duration;

    use proptest::prelude::*;
    use serde::ser::{Error as _, SerializeMap, Serializer};
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    fn as_text(json: serde_json::Result<Vec<u8>>) -> Result<String, String> {
        json.map(|json| String::from_utf8(json).unwrap()).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn assert_same<T: Serialize + ?Sized>(value: &T) {
        assert_eq!(as_text(to_vec(value)), as_text(serde_json::to_vec(value)));
    }

    struct KeyedBy<K>(K);

    impl<K: Serialize> Serialize for KeyedBy<K> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            map.serialize_entry(&self.0, &1)?;
            map.end()
        }
    }

    struct Bytes;

    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(b"a\xff")
        }
    }

    struct Refuses;

    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("not today"))
        }
    }

    #[derive(Serialize)]
    enum Shape {
        Unit,
        Newtype(i8),
        Tuple(i8, Option<()>),
        Struct { a: u8 },
    }

    #[derive(Serialize)]
    struct Flattened {
        #[serde(flatten)]
        rest: BTreeMap<String, f32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<char>,
        unit: (),
    }

    #[test]
    fn whatever_rust_has_is_written_as_serde_json_writes_it() {
        for shape in [Shape::Unit, Shape::Newtype(-1), Shape::Tuple(1, None), Shape::Struct { a: 1 }] {
            assert_same(&shape);
        }
        assert_same(&Flattened { rest: [("x".into(), 0.1)].into(), absent: None, unit: () });
        assert_same(&(i128::MIN, u128::MAX, u64::MAX, Some(Some(false)), "", [(); 0]));
        assert_same(&(Bytes, IpAddr::from([127, 0, 0, 1]), Duration::from_millis(1500)));
        for code in (0..0x2030).filter_map(char::from_u32) {
            assert_same(&code);
        }
    }

    #[test]
    fn keys_are_what_serde_json_makes_of_them_and_so_are_errors() {
        assert_same(&(KeyedBy(1.5), KeyedBy(true), KeyedBy(-7), KeyedBy('"'), KeyedBy(Shape::Unit)));
        assert_same(&KeyedBy(f64::NAN));
        assert_same(&KeyedBy((1, 2)));
        assert_same(&KeyedBy(Shape::Struct { a: 1 }));
        assert_same(&(1, Refuses));
    }

    #[test]
    fn what_is_serde_jsons_own_is_left_to_it() {
        let raw = RawValue::from_string(r#"{"a": [1, 2.0]}"#.into()).unwrap();
        assert_eq!(as_text(to_vec(&(1, &raw))), Ok(r#"[1,{"a": [1, 2.0]}]"#.into()));
        let looks_like_it = json!({"$serde_json::private::RawValue": "{}", "a": "\"$serde_json::private::"});
        assert_same(&looks_like_it);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<Option<bool>>().prop_map(|value| json!(value)),
            any::<i64>().prop_map(|value| json!(value)),
            any::<f64>().prop_map(|value| json!(value)),
            any::<String>().prop_map(Value::from),
            "[a-z\"\\\\\n\x00-\x20é𝄞]{0,200}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_is_written_as_serde_json_writes_it(value in values()) {
            prop_assert_eq!(as_text(to_vec(&value)), as_text(serde_json::to_vec(&value)));
        }

        #[test]
        fn so_is_any_number(numbers: (f32, f64, i8, u16, i32, u64, i128)) {
            prop_assert_eq!(as_text(to_vec(&numbers)), as_text(serde_json::to_vec(&numbers)));
        }
    }
}
