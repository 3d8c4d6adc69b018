//! Work that is done to its end whether or not somebody waits for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Does the work in the task of whoever waits for it, without a wake-up across threads; if they leave
/// once it has begun, it goes on in a task of its own, and what it comes to is given to `afterwards`.
pub(crate) fn carried_on<F, A, R>(work: F, afterwards: A) -> impl Future<Output = F::Output> + Send + Unpin
where
    F: Future<Output: Send> + Send + 'static,
    A: FnOnce(F::Output) -> R + Send + Unpin + 'static,
    R: Future<Output = ()> + Send,
{
    CarriedOn(Some((Box::pin(work), afterwards)))
}

/// See [`carried_on`].
struct CarriedOn<F, A, R>(Option<(Pin<Box<F>>, A)>)
where
    F: Future<Output: Send> + Send + 'static,
    A: FnOnce(F::Output) -> R + Send + Unpin + 'static,
    R: Future<Output = ()> + Send;

impl<F, A, R> Future for CarriedOn<F, A, R>
where
    F: Future<Output: Send> + Send + 'static,
    A: FnOnce(F::Output) -> R + Send + Unpin + 'static,
    R: Future<Output = ()> + Send,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some((work, _)) = &mut self.0 else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<F, A, R> Drop for CarriedOn<F, A, R>
where
    F: Future<Output: Send> + Send + 'static,
    A: FnOnce(F::Output) -> R + Send + Unpin + 'static,
    R: Future<Output = ()> + Send,
{
    fn drop(&mut self) {
        let Some((work, afterwards)) = self.0.take() else { return };
        // Without a runtime there is no host any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { afterwards(work.await).await });
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
        let mut work = carried_on(
            async {
                sleep(Duration::from_secs(1)).await;
                done.send(7)
            },
            |sent| async move { assert_eq!(sent, Ok(())) },
        );
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        assert_eq!(told.await, Ok(7));
    }
}
