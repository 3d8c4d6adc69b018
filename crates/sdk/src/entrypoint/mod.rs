//! From a request to a handler's arguments, and from what it returns to an answer.

mod accompanied;
mod answer;
mod attended;
mod blocking;
mod context;
mod extract;
mod handler;
mod payload;
mod sse;
mod strict;

pub(crate) use self::accompanied::accompany;
pub(crate) use self::answer::Answer;
pub use self::answer::IntoAnswer;
pub(crate) use self::attended::Attended;
pub(crate) use self::blocking::BlockingPool;
pub use self::context::RequestContext;
pub use self::extract::FromInvocation;
pub(crate) use self::extract::Invocation;
pub use self::handler::{BlockingHandler, Handler};
pub(crate) use self::handler::{ErasedHandler, Handled};
pub(crate) use self::payload::{PayloadError, check, decode, read_body};
pub(crate) use self::sse::{Events, ItemStream};
