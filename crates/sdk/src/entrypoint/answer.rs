//! From what a handler returns to an HTTP answer.

use std::error::Error as StdError;
use std::ops::Deref;

use bytes::Bytes;
use futures_util::Stream;

use super::sse::ItemStream;
use crate::outcome::{Failure, Outcome, short_type_name, via};
use crate::respond::Response;

/// What a handler came to.
#[doc(hidden)]
pub enum Answer {
    Json(Bytes),
    Stream(ItemStream),
    Response(Box<Response>),
    Failed(Failure),
}

/// What an entrypoint may return:
///
/// - any value that serde can serialize: `200` with its JSON;
/// - a stream (any [`Stream`] of such values, or of `Result`s): server-sent events, one
///   `data: <json>` per item;
/// - a whole HTTP [`Response`](crate::Response), sent as it is;
/// - a `Result` of any of these: an error is `500` with `{"error": "<its message>"}`, or has the
///   status of a [`HandlerError`](crate::HandlerError) in its chain.
///
/// `M` is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no answer to an invocation",
    note = "an entrypoint returns a type that implements `serde::Serialize`, a `Stream` of such, a `bedrock_agentcore::Response`, or a `Result` of one of these",
    note = "an error may be any `std::error::Error`, an `anyhow::Error`, or, with a serializable value, a `String`"
)]
pub trait IntoAnswer<M> {
    #[doc(hidden)]
    fn into_answer(self) -> Answer;
}

impl<T: serde::Serialize> IntoAnswer<via::Value> for T {
    fn into_answer(self) -> Answer {
        match self.render() {
            Ok(json) => Answer::Json(json),
            Err(failure) => Answer::Failed(failure),
        }
    }
}

impl<S, M> IntoAnswer<via::Stream<M>> for S
where
    S: Stream + Send + 'static,
    S::Item: Outcome<M>,
    M: 'static,
{
    fn into_answer(self) -> Answer {
        Answer::Stream(ItemStream::new(self))
    }
}

impl IntoAnswer<via::Response> for Response {
    fn into_answer(self) -> Answer {
        Answer::Response(Box::new(self))
    }
}

impl<T, E, M> IntoAnswer<via::Fallible<M>> for Result<T, E>
where
    T: IntoAnswer<M>,
    E: StdError + 'static,
{
    fn into_answer(self) -> Answer {
        match self {
            Ok(value) => value.into_answer(),
            Err(error) => Answer::Failed(Failure::of(&error, short_type_name::<E>())),
        }
    }
}

impl<T, E, M> IntoAnswer<via::DynFallible<M>> for Result<T, E>
where
    T: IntoAnswer<M>,
    E: Deref<Target = dyn StdError + Send + Sync>,
{
    fn into_answer(self) -> Answer {
        match self {
            Ok(value) => value.into_answer(),
            Err(error) => Answer::Failed(Failure::of(&*error, "Error")),
        }
    }
}
