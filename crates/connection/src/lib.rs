//! Keeps a task that wakes itself from being scheduled for it.
//!
//! One task drives a connection and whoever answers its requests, and the two signal each other
//! through hyper's channels: send me the body, here it is. Each signal wakes the task that is
//! running already; tokio would queue it again and wake a second thread to look at the queue. In a
//! host, which has a connection to the agent in the same task, that made four system calls per
//! invocation, and two thirds of the latency that it added. Polling once more in place costs next
//! to nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use pin_project_lite::pin_project;

/// How often a future is polled again in place before others get their turn.
const MOST: usize = 16;

const RESTING: u8 = 0;
const POLLING: u8 = 1;
const RUNG: u8 = 2;

/// Runs `future`; wakes that come while it is polled have it polled again at once.
pub fn polled_in_place<F: Future>(future: F) -> PolledInPlace<F> {
    let bell = Arc::new(Bell { task: AtomicWaker::new(), state: AtomicU8::new(RESTING) });
    PolledInPlace { future, waker: bell.clone().into(), bell }
}

pin_project! {
    /// A future that is polled again at once when it wakes itself: see [`polled_in_place`].
    pub struct PolledInPlace<F> {
        #[pin]
        future: F,
        bell: Arc<Bell>,
        waker: Waker,
    }
}

struct Bell {
    task: AtomicWaker,
    state: AtomicU8,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(RUNG, Ordering::AcqRel) == RESTING {
            self.task.wake();
        }
    }
}

impl<F: Future> Future for PolledInPlace<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        this.bell.task.register(context.waker());
        for _ in 0..MOST {
            this.bell.state.store(POLLING, Ordering::Release);
            let mut inner = Context::from_waker(this.waker);
            if let Poll::Ready(output) = this.future.as_mut().poll(&mut inner) {
                return Poll::Ready(output);
            }
            let silent =
                this.bell.state.compare_exchange(POLLING, RESTING, Ordering::AcqRel, Ordering::Acquire);
            if silent.is_ok() {
                return Poll::Pending;
            }
        }
        // Rung all the time: the others first.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again_without_waking_its_task() {
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = counter.clone().into();
        let mut polls = 0;
        let mut future = std::pin::pin!(polled_in_place(poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls == 5 { Poll::Ready(polls) } else { Poll::Pending }
        })));
        assert_eq!(future.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(5));
        assert_eq!(counter.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_future_that_never_stops_waking_itself_lets_others_have_their_turn() {
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = counter.clone().into();
        let mut future = std::pin::pin!(polled_in_place(poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        })));
        assert_eq!(future.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_from_elsewhere_arrive() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let reader = tokio::spawn(polled_in_place(async move {
            let mut sum = 0;
            while let Some(number) = receiver.recv().await {
                sum += number;
            }
            sum
        }));
        for number in 1..=100 {
            sender.send(number).await.unwrap();
            tokio::time::sleep(Duration::from_millis(number % 3)).await;
        }
        drop(sender);
        assert_eq!(reader.await.unwrap(), 5_050);
    }
}
