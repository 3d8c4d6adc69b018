//! Work that is done to its end whether or not somebody waits for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Does the work in the task of whoever waits for it, without a wake-up across threads; if they leave
/// once it has begun, it goes on in a task of its own.
pub(crate) fn carried_on<F>(work: F) -> CarriedOn<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    CarriedOn(Some(Box::pin(work)))
}

/// See [`carried_on`].
pub(crate) struct CarriedOn<F: Future<Output: Send> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send> + Send + 'static> Future for CarriedOn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for CarriedOn<F> {
    fn drop(&mut self) {
        let Some(work) = self.0.take() else { return };
        // Without a runtime there is no host any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_is_done_though_nobody_waits_any_more() {
        let (done, told) = oneshot::channel();
        let mut work = carried_on(async {
            sleep(Duration::from_secs(1)).await;
            done.send(7)
        });
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        assert_eq!(told.await, Ok(7));
    }
}
