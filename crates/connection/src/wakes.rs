//! Keeps a task that wakes itself from being scheduled for it, and from polling what nobody woke.
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
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use pin_project_lite::pin_project;

/// How often something is polled again in place before others get their turn.
const MOST: usize = 16;

const RESTING: u8 = 0;
const POLLING: u8 = 1;
const RUNG: u8 = 2;

/// Stands between what is polled and its task: wakes that come while it is polled have it polled
/// again at once, and reach the task only otherwise.
#[derive(Debug)]
pub struct Bell {
    button: Arc<Button>,
    waker: Waker,
}

#[derive(Debug)]
struct Button {
    task: AtomicWaker,
    state: AtomicU8,
}

impl Wake for Button {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(RUNG, Ordering::AcqRel) == RESTING {
            self.task.wake();
        }
    }
}

impl Bell {
    /// One that nobody has rung.
    #[must_use]
    pub fn new() -> Self {
        let button = Arc::new(Button { task: AtomicWaker::new(), state: AtomicU8::new(RESTING) });
        Self { waker: button.clone().into(), button }
    }

    /// Polls, and again for as long as the bell rings meanwhile.
    ///
    /// Once `poll` is ready it is not called again, whoever has rung: who wants to hear more of what it
    /// polls asks again.
    pub fn poll<T>(
        &self,
        context: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.button.task.register(context.waker());
        let mut inner = Context::from_waker(&self.waker);
        for _ in 0..MOST {
            self.button.state.store(POLLING, Ordering::Release);
            if let Poll::Ready(output) = poll(&mut inner) {
                self.button.state.store(RESTING, Ordering::Release);
                return Poll::Ready(output);
            }
            let silent =
                self.button.state.compare_exchange(POLLING, RESTING, Ordering::AcqRel, Ordering::Acquire);
            if silent.is_ok() {
                return Poll::Pending;
            }
        }
        // Rung all the time: the others first.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does what rings the bell, for somebody who polls right afterwards anyway.
    pub fn muffled<T>(&self, act: impl FnOnce() -> T) -> T {
        self.button.state.store(POLLING, Ordering::Release);
        let output = act();
        self.button.state.store(RESTING, Ordering::Release);
        output
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `future`; wakes that come while it is polled have it polled again at once.
pub fn polled_in_place<F: Future>(future: F) -> PolledInPlace<F> {
    PolledInPlace { future, bell: Bell::new() }
}

pin_project! {
    /// A future that is polled again at once when it wakes itself: see [`polled_in_place`].
    pub struct PolledInPlace<F> {
        #[pin]
        future: F,
        bell: Bell,
    }
}

impl<F: Future> Future for PolledInPlace<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        this.bell.poll(context, |inner| this.future.as_mut().poll(inner))
    }
}

/// Runs `future` beside others in one task; it is polled only when it was woken itself.
pub fn polled_when_woken<F: Future>(future: F) -> PolledWhenWoken<F> {
    WakeFlag::new().guard(future)
}

/// Remembers whether somebody was woken. It serves one future after another, and costs an allocation
/// once.
#[derive(Debug, Clone)]
pub struct WakeFlag(Arc<Flag>);

#[derive(Debug)]
struct Flag {
    task: AtomicWaker,
    woken: AtomicBool,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl WakeFlag {
    /// One that guards nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Flag { task: AtomicWaker::new(), woken: AtomicBool::new(true) }))
    }

    /// As [`polled_when_woken`], once whatever it guarded before is over.
    pub fn guard<F: Future>(&self, future: F) -> PolledWhenWoken<F> {
        self.0.woken.store(true, Ordering::Release);
        PolledWhenWoken { future, waker: self.0.clone().into(), flag: self.clone() }
    }
}

impl Default for WakeFlag {
    fn default() -> Self {
        Self::new()
    }
}

pin_project! {
    /// A future that others' wakes do not have polled: see [`polled_when_woken`].
    pub struct PolledWhenWoken<F> {
        #[pin]
        future: F,
        flag: WakeFlag,
        waker: Waker,
    }
}

impl<F: Future> Future for PolledWhenWoken<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let WakeFlag(flag) = this.flag;
        // First, so that a wake after the look at the flag has somebody to tell.
        flag.task.register(context.waker());
        if !flag.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        this.future.poll(&mut Context::from_waker(this.waker))
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

    #[test]
    fn a_bell_serves_one_task_after_another() {
        let bell = Bell::new();
        let first = Arc::new(Counter(AtomicUsize::new(0)));
        let second = Arc::new(Counter(AtomicUsize::new(0)));
        let mut ringer = None;
        let waker = first.clone().into();
        let polled = bell.poll(&mut Context::from_waker(&waker), |inner| {
            ringer = Some(inner.waker().clone());
            inner.waker().wake_by_ref();
            Poll::Ready(())
        });
        assert_eq!(polled, Poll::Ready(()), "and what rang before is over with it");
        let waker = second.clone().into();
        let polled = bell.poll(&mut Context::from_waker(&waker), |_| Poll::<()>::Pending);
        assert_eq!(polled, Poll::Pending);
        ringer.unwrap().wake();
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn what_is_muffled_wakes_nobody_and_what_comes_later_does() {
        let bell = Bell::new();
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = counter.clone().into();
        let mut ringer = None;
        let _ = bell.poll(&mut Context::from_waker(&waker), |inner| {
            ringer = Some(inner.waker().clone());
            Poll::<()>::Pending
        });
        let ringer = ringer.unwrap();
        bell.muffled(|| ringer.wake_by_ref());
        assert_eq!(counter.0.load(Ordering::Relaxed), 0);
        ringer.wake_by_ref();
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_future_that_nobody_woke_is_not_polled_beside_others() {
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = counter.clone().into();
        let mut context = Context::from_waker(&waker);
        let (polls, inner) = (AtomicUsize::new(0), std::sync::Mutex::new(None));
        let mut future = std::pin::pin!(polled_when_woken(poll_fn(|context| {
            *inner.lock().unwrap() = Some(context.waker().clone());
            polls.fetch_add(1, Ordering::Relaxed);
            Poll::<()>::Pending
        })));
        for _ in 0..3 {
            assert_eq!(future.as_mut().poll(&mut context), Poll::Pending);
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        inner.lock().unwrap().take().unwrap().wake();
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert_eq!(future.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
