//! Functions that can be entrypoints.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::answer::{Answer, IntoAnswer};
use super::extract::{FromInvocation, Invocation};
use super::payload::{self, PayloadError};
use crate::outcome::Failure;
use crate::tasks::panic_message;

/// What became of an invocation: an answer, or a payload that the handler cannot take.
pub(crate) type Handled = Result<Answer, PayloadError>;
pub(crate) type HandledFuture = Pin<Box<dyn Future<Output = Handled> + Send>>;

/// An async entrypoint: `async fn(payload)`, with up to four further arguments that implement
/// [`FromInvocation`].
///
/// The payload is any type that serde can deserialize; `serde_json::Value` takes whatever comes.
/// What is JSON does not depend on the type: half a character, a number out of range and more than
/// 127 levels are refused also where the type ignores them or, as `RawValue`, does not look.
/// What may be returned says [`IntoAnswer`]. `M` is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no entrypoint",
    note = "an entrypoint is an `async fn(payload, ...)`: `payload` implements `serde::Deserialize`, the other arguments are extractors such as `RequestContext`, `Tasks` or `CancellationToken`, and its future is `Send`",
    note = "a plain `fn` goes to `App::entrypoint_blocking`"
)]
pub trait Handler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    const WATCHES_CLIENT: bool;

    #[doc(hidden)]
    fn call(self: Arc<Self>, invocation: Invocation) -> impl Future<Output = Handled> + Send + 'static;
}

/// A blocking entrypoint: a plain `fn(payload)`, with arguments and results as in [`Handler`]. It
/// runs on a thread where it may block and compute as it likes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no blocking entrypoint",
    note = "a blocking entrypoint is a plain `fn(payload, ...)`: `payload` implements `serde::Deserialize`, the other arguments are extractors such as `RequestContext`, `Tasks` or `CancellationToken`",
    note = "an `async fn` goes to `App::entrypoint`"
)]
pub trait BlockingHandler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    const WATCHES_CLIENT: bool;

    #[doc(hidden)]
    fn call(self: Arc<Self>, invocation: Invocation) -> impl Future<Output = Handled> + Send + 'static;
}

/// A handler whose type is forgotten.
pub(crate) struct ErasedHandler {
    call: Box<dyn Fn(Invocation) -> HandledFuture + Send + Sync>,
    watches_client: bool,
}

impl ErasedHandler {
    /// `watches_client`: it takes the token that fires when its client leaves.
    pub(crate) fn new<H, C, F>(handler: H, call: C, watches_client: bool) -> Self
    where
        H: Send + Sync + 'static,
        C: Fn(Arc<H>, Invocation) -> F + Send + Sync + 'static,
        F: Future<Output = Handled> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let call = move |invocation: Invocation| -> HandledFuture {
            let tasks = invocation.tasks.clone();
            Box::pin(tasks.scope(call(Arc::clone(&handler), invocation)))
        };
        Self { call: Box::new(call), watches_client }
    }

    pub(crate) fn from_async<M, H: Handler<M>>(handler: H) -> Self {
        Self::new(handler, |handler, invocation| handler.call(invocation), H::WATCHES_CLIENT)
    }

    pub(crate) fn from_blocking<M, H: BlockingHandler<M>>(handler: H) -> Self {
        Self::new(handler, |handler, invocation| handler.call(invocation), H::WATCHES_CLIENT)
    }

    pub(crate) fn watches_client(&self) -> bool {
        self.watches_client
    }

    /// The handler at work, with the app's tasks as the current ones.
    pub(crate) fn call(&self, invocation: Invocation) -> HandledFuture {
        (self.call)(invocation)
    }
}

macro_rules! handlers {
    ($($argument:ident),*) => {
        #[allow(non_snake_case, unused_variables)]
        impl<F, Fut, P, M, $($argument,)*> Handler<(P, M, $($argument,)*)> for F
        where
            F: Fn(P, $($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: IntoAnswer<M>,
            M: 'static,
            P: DeserializeOwned + Send + 'static,
            $($argument: FromInvocation,)*
        {
            const WATCHES_CLIENT: bool = false $(|| $argument::WATCHES_CLIENT)*;

            async fn call(self: Arc<Self>, invocation: Invocation) -> Handled {
                $(let $argument = $argument::from_invocation(&invocation);)*
                let payload = payload::parse(invocation.payload).await?;
                Ok(self(payload, $($argument),*).await.into_answer())
            }
        }

        #[allow(non_snake_case, unused_variables)]
        impl<F, P, R, M, $($argument,)*> BlockingHandler<(P, R, M, $($argument,)*)> for F
        where
            F: Fn(P, $($argument),*) -> R + Send + Sync + 'static,
            R: IntoAnswer<M> + 'static,
            M: 'static,
            P: DeserializeOwned + Send + 'static,
            $($argument: FromInvocation,)*
        {
            const WATCHES_CLIENT: bool = false $(|| $argument::WATCHES_CLIENT)*;

            async fn call(self: Arc<Self>, invocation: Invocation) -> Handled {
                $(let $argument = $argument::from_invocation(&invocation);)*
                let work = move |payload: &str| {
                    let payload = payload::parse_now(payload)?;
                    Ok(self(payload, $($argument),*).into_answer())
                };
                run_blocking(invocation, work).await
            }
        }
    };
}

handlers!();
handlers!(A1);
handlers!(A1, A2);
handlers!(A1, A2, A3);
handlers!(A1, A2, A3, A4);

/// Runs a blocking handler in the pool, with the runtime and the app's tasks at hand.
async fn run_blocking<W>(invocation: Invocation, work: W) -> Handled
where
    W: FnOnce(&str) -> Handled + Send + 'static,
{
    let (sender, answered) = oneshot::channel();
    let Invocation { payload, tasks, blocking, .. } = invocation;
    let runtime = tokio::runtime::Handle::current();
    let span = tracing::Span::current();
    blocking.run(move || {
        let _runtime = runtime.enter();
        let _span = span.enter();
        let work = std::panic::AssertUnwindSafe(|| tasks.sync_scope(|| work(&payload)));
        let handled = std::panic::catch_unwind(work)
            .unwrap_or_else(|panic| Ok(Answer::Failed(Failure::panic(panic_message(&*panic)))));
        // The caller may be gone; there is nobody else to tell.
        let _ = sender.send(handled);
    });
    answered.await.unwrap_or_else(|_| Ok(Answer::Failed(Failure::panic("the handler's thread is gone"))))
}
