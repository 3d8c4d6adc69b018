//! Serializes a value, and notices when it is a `Result`.
//!
//! serde writes a `Result` as the enum `Result` with the variants `Ok` and `Err`. An author who
//! returns `Err("no such file".to_owned())` means an error, not the object
//! `{"Err":"no such file"}` with status 200. So a value is first offered to a serializer that takes
//! nothing but a `Result` and turns everything else away at once, before any work is done.

use std::fmt::{self, Display};

use serde::ser::{Impossible, Serialize, Serializer};

use super::json::to_vec;

/// What a value turned out to be.
pub(super) enum Probed {
    /// A value, or the inside of an `Ok`, as JSON.
    Value(Vec<u8>),
    /// The inside of an `Err`: its text if it is one, else its JSON.
    Error(String),
}

/// Turns `value` into JSON.
///
/// # Errors
/// JSON cannot hold it: a map whose keys are no texts, or an error of the value's own.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Probed> {
    match value.serialize(TakesOnlyResults) {
        Ok(Taken { inside, is_error: false }) => inside.map(Probed::Value),
        Ok(Taken { inside, is_error: true }) => inside.map(|json| Probed::Error(text_of(json))),
        Err(NotAResult) => to_vec(value).map(Probed::Value),
    }
}

fn text_of(json: Vec<u8>) -> String {
    serde_json::from_slice::<String>(&json).unwrap_or_else(|_| String::from_utf8_lossy(&json).into_owned())
}

struct TakesOnlyResults;

struct Taken {
    inside: serde_json::Result<Vec<u8>>,
    is_error: bool,
}

#[derive(Debug)]
struct NotAResult;

impl fmt::Display for NotAResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a Result")
    }
}

impl std::error::Error for NotAResult {}

impl serde::ser::Error for NotAResult {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

type Never = Impossible<Taken, NotAResult>;

macro_rules! turn_away {
    ($($method:ident($($argument:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$ok, NotAResult> {
            Err(NotAResult)
        })*
    };
}

impl Serializer for TakesOnlyResults {
    type Ok = Taken;
    type Error = NotAResult;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        inside: &T,
    ) -> Result<Taken, NotAResult> {
        let is_error = match (name, variant) {
            ("Result", "Ok") => false,
            ("Result", "Err") => true,
            _ => return Err(NotAResult),
        };
        Ok(Taken { inside: to_vec(inside), is_error })
    }

    turn_away! {
        serialize_bool(bool) -> Taken;
        serialize_i8(i8) -> Taken;
        serialize_i16(i16) -> Taken;
        serialize_i32(i32) -> Taken;
        serialize_i64(i64) -> Taken;
        serialize_i128(i128) -> Taken;
        serialize_u8(u8) -> Taken;
        serialize_u16(u16) -> Taken;
        serialize_u32(u32) -> Taken;
        serialize_u64(u64) -> Taken;
        serialize_u128(u128) -> Taken;
        serialize_f32(f32) -> Taken;
        serialize_f64(f64) -> Taken;
        serialize_char(char) -> Taken;
        serialize_str(&str) -> Taken;
        serialize_bytes(&[u8]) -> Taken;
        serialize_none() -> Taken;
        serialize_unit() -> Taken;
        serialize_unit_struct(&'static str) -> Taken;
        serialize_unit_variant(&'static str, u32, &'static str) -> Taken;
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(&'static str, usize) -> Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Taken, NotAResult> {
        Err(NotAResult)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<Taken, NotAResult> {
        Err(NotAResult)
    }

    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Result<Taken, NotAResult> {
        Err(NotAResult)
    }
}
