//! Threads that answer go before those that compute.
//!
//! An agent whose handlers compute on all its processors still owes the platform an answer to
//! `/ping`. The thread that gives it needs little of the processor, but the kernel may keep it waiting
//! until everybody else has had some milliseconds.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use agentcore_sandbox::threads::answer_promptly;

thread_local! {
    static PROMPT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `future`; whatever thread does so answers promptly from then on. It may be a thread of the
/// author's runtime, which nobody else could tell from those for computing.
pub(super) async fn promptly<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|context| -> Poll<F::Output> {
        PROMPT.with(be_prompt);
        future.as_mut().poll(context)
    })
    .await
}

/// Once per thread.
fn be_prompt(prompt: &Cell<bool>) {
    if !prompt.replace(true)
        && let Err(error) = answer_promptly()
    {
        tracing::debug!(%error, "/ping may wait for handlers that compute");
    }
}
