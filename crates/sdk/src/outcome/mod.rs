//! What a handler or a task came to: a value, or an error.
//!
//! Authors return whatever suits them: any value that serde can serialize, or a `Result` with any
//! error. Rust cannot tell "any `Serialize`" from "a `Result`" by itself, for a `Result` of two
//! serializable types is both. So each way in has a marker type that the compiler infers, and a
//! serialized `Result` is recognised as what it is (see [`probe`]).

mod json;
mod probe;

use std::error::Error as StdError;
use std::ops::Deref;

use agentcore_protocol::TaskFailure;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use self::probe::Probed;

/// Markers for [`Outcome`] and [`IntoAnswer`](crate::IntoAnswer): which of its ways in applies.
/// The compiler infers them; nobody writes them.
pub(crate) mod via {
    /// A value that serde can serialize.
    pub struct Value;
    /// A `Result` whose error implements `std::error::Error`.
    pub struct Fallible<M>(std::marker::PhantomData<M>);
    /// A `Result` whose error points to one, as `anyhow::Error` and `Box<dyn Error>` do.
    pub struct DynFallible<M>(std::marker::PhantomData<M>);
    /// A stream of items.
    pub struct Stream<M>(std::marker::PhantomData<M>);
    /// A whole HTTP response.
    pub struct Response;
}

/// What a task or a stream's item may be: any `Serialize` value, or a `Result` of one with any
/// error. `M` is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can be neither recorded nor sent",
    note = "return a type that implements `serde::Serialize`, or a `Result` of one; the error may be any `std::error::Error`, an `anyhow::Error` or a `String`"
)]
pub trait Outcome<M> {
    #[doc(hidden)]
    fn render(&self) -> Result<Bytes, Failure>;

    #[doc(hidden)]
    fn settle(&self) -> Settled {
        match self.render() {
            Ok(json) => Settled::Completed(raw(json)),
            Err(failure) => Settled::Failed(TaskFailure { kind: failure.kind, message: failure.message }),
        }
    }
}

/// How a task ended, ready to be recorded.
#[doc(hidden)]
pub enum Settled {
    Completed(Option<Box<RawValue>>),
    Failed(TaskFailure),
}

/// An error on its way to a client or a record.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error's type, without its path.
    pub kind: String,
    /// The error's message.
    pub message: String,
    /// The status that it asks for: see [`HandlerError`](crate::HandlerError).
    pub status: Option<http::StatusCode>,
}

impl<T: Serialize> Outcome<via::Value> for T {
    fn render(&self) -> Result<Bytes, Failure> {
        match probe::to_json(self) {
            Ok(Probed::Value(json)) => Ok(json.into()),
            Ok(Probed::Error(message)) => Err(Failure { kind: "Error".into(), message, status: None }),
            Err(error) => {
                let original_type = short_type_name::<T>();
                tracing::error!(%error, "error.original_type" = original_type, "a value cannot be turned into JSON");
                let body = agentcore_protocol::error::SerializationFailed::of(original_type);
                Ok(serde_json::to_vec(&body).unwrap_or_default().into())
            }
        }
    }
}

impl<T, E, M> Outcome<via::Fallible<M>> for Result<T, E>
where
    T: Outcome<M>,
    E: StdError + 'static,
{
    fn render(&self) -> Result<Bytes, Failure> {
        match self {
            Ok(value) => value.render(),
            Err(error) => Err(Failure::of(error, short_type_name::<E>())),
        }
    }
}

impl<T, E, M> Outcome<via::DynFallible<M>> for Result<T, E>
where
    T: Outcome<M>,
    E: Deref<Target = dyn StdError + Send + Sync>,
{
    fn render(&self) -> Result<Bytes, Failure> {
        match self {
            Ok(value) => value.render(),
            Err(error) => Err(Failure::of(&**error, "Error")),
        }
    }
}

impl Failure {
    pub(crate) fn of(error: &(dyn StdError + 'static), kind: &str) -> Self {
        Self { kind: kind.into(), message: error.to_string(), status: crate::error::status_of(error) }
    }

    pub(crate) fn panic(message: impl Into<String>) -> Self {
        Self { kind: "panic".into(), message: message.into(), status: None }
    }
}

fn raw(json: Bytes) -> Option<Box<RawValue>> {
    let text = String::from_utf8(json.into()).ok()?;
    RawValue::from_string(text).ok()
}

/// The name of a type without the paths to it: `io::Error` and `Vec<my::Item>` become `Error` and
/// `Vec<Item>`.
pub(crate) fn short_type_name<T: ?Sized>() -> &'static str {
    let full = std::any::type_name::<T>();
    let outer = full.split('<').next().unwrap_or(full);
    outer.rsplit("::").next().unwrap_or(outer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::HandlerError;
    use http::StatusCode;
    use serde_json::json;

    fn rendered<T: Outcome<M>, M>(value: T) -> Result<String, String> {
        let text = value.render().map_err(|failure| format!("{}: {}", failure.kind, failure.message))?;
        Ok(String::from_utf8(text.into()).unwrap())
    }

    #[test]
    fn values_and_results_of_every_kind_are_told_apart() {
        assert_eq!(rendered(json!({"a": 1})), Ok(r#"{"a":1}"#.into()));
        assert_eq!(rendered(()), Ok("null".into()));
        assert_eq!(rendered("é\n"), Ok(r#""é\n""#.into()));
        assert_eq!(rendered(Ok::<_, String>(vec![1, 2])), Ok("[1,2]".into()));
        assert_eq!(rendered(Err::<(), _>("no such file".to_owned())), Err("Error: no such file".into()));
        let io = || std::io::Error::other("disk on fire");
        assert_eq!(rendered(Err::<(), _>(io())), Err("Error: disk on fire".into()));
        assert_eq!(rendered(Ok::<_, std::num::ParseIntError>(1)), Ok("1".into()));
        assert_eq!(rendered("x".parse::<i32>()), Err("ParseIntError: invalid digit found in string".into()));
        assert_eq!(rendered(Err::<(), _>(anyhow::Error::from(io()))), Err("Error: disk on fire".into()));
        let boxed: Box<dyn StdError + Send + Sync> = "boxed".into();
        assert_eq!(rendered(Err::<(), _>(boxed)), Err("Error: boxed".into()));
    }

    #[test]
    fn a_status_is_found_however_deep_in_an_error_it_is() {
        let inner = HandlerError::new(StatusCode::NOT_FOUND, "no such document");
        let wrapped = anyhow::Error::from(inner).context("search failed");
        let failure = Err::<(), _>(wrapped).render().unwrap_err();
        assert_eq!(failure.status, Some(StatusCode::NOT_FOUND));
        assert_eq!(failure.message, "search failed");
    }

    #[test]
    fn what_json_cannot_hold_becomes_the_documented_body() {
        let map = std::collections::HashMap::from([((1, 2), 3)]);
        assert_eq!(rendered(map), Ok(r#"{"error":"Serialization failed","original_type":"HashMap"}"#.into()));
    }

    #[test]
    fn an_enum_of_the_authors_own_is_a_value_even_if_it_has_an_err() {
        #[derive(serde::Serialize)]
        enum Reply {
            Err(&'static str),
        }
        assert_eq!(rendered(Reply::Err("fine")), Ok(r#"{"Err":"fine"}"#.into()));
    }
}
