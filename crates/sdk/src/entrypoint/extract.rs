//! The arguments that a handler may take after its payload.

use axum::extract::ws::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use super::RequestContext;
use super::blocking::BlockingPool;
use crate::health::Health;
use crate::tasks::Tasks;

/// A request on its way to the handler: its payload, and what extractors are made from.
pub struct Invocation {
    /// Known to be text, so that nobody has to look again. axum has a type for that, for messages.
    pub(crate) payload: Utf8Bytes,
    pub(crate) context: RequestContext,
    /// The rest of the request's head: its headers are in the context.
    pub(crate) head: http::request::Parts,
    /// There for handlers that take it.
    pub(crate) cancellation: Option<CancellationToken>,
    pub(crate) tasks: Tasks,
    pub(crate) health: Health,
    pub(crate) blocking: BlockingPool,
}

/// An argument of a handler, beside the payload. There are these, and no others can be made:
///
/// | argument | what it is |
/// |---|---|
/// | [`RequestContext`] | session id, request id, headers, tokens |
/// | [`Tasks`] | the app's tasks |
/// | [`Health`] | the ping status: read it, force it |
/// | [`CancellationToken`] | fires when the client goes away before it has its answer |
pub trait FromInvocation: Send + 'static {
    #[doc(hidden)]
    const WATCHES_CLIENT: bool = false;

    /// Makes the argument.
    fn from_invocation(invocation: &Invocation) -> Self;
}

impl FromInvocation for RequestContext {
    fn from_invocation(invocation: &Invocation) -> Self {
        invocation.context.clone()
    }
}

impl FromInvocation for Tasks {
    fn from_invocation(invocation: &Invocation) -> Self {
        invocation.tasks.clone()
    }
}

impl FromInvocation for Health {
    fn from_invocation(invocation: &Invocation) -> Self {
        invocation.health.clone()
    }
}

impl FromInvocation for CancellationToken {
    const WATCHES_CLIENT: bool = true;

    fn from_invocation(invocation: &Invocation) -> Self {
        invocation.cancellation.clone().expect("a handler that takes it says that it watches its client")
    }
}
