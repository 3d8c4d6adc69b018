//! What a call to an `#[async_task]` function returns.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::guard::TaskGuard;
use super::tracked::Tracked;
use super::{TaskError, TaskHandle, Tasks};
use crate::outcome::{Outcome, Settled};

/// The future that a call to an [`#[async_task]`](macro@crate::async_task) function returns.
///
/// Like every future it does nothing by itself. Once it runs, it is a task of the app on whose
/// behalf it was called ([`Tasks::current`]):
///
/// - [`spawn`](Self::spawn) starts it in the background, tracked from that moment on;
/// - `tokio::spawn(background_work())` does too, tracked from its first poll;
/// - `background_work().await?` runs it in place.
#[must_use = "a task does nothing until it is spawned or awaited"]
pub struct AsyncTask<F: Future> {
    state: State<F>,
}

enum State<F: Future> {
    Waiting(Call<F>),
    Running(Pin<Box<Tracked<F>>>),
    Done,
}

struct Call<F: Future> {
    name: &'static str,
    future: F,
    tasks: Tasks,
    settle: fn(&F::Output) -> Settled,
}

// The future is pinned only once it runs, in a box of its own.
impl<F: Future> Unpin for AsyncTask<F> {}

impl<F: Future> AsyncTask<F> {
    /// What the attribute expands to.
    #[doc(hidden)]
    pub fn new<M>(name: &'static str, future: F) -> Self
    where
        F::Output: Outcome<M>,
    {
        // The work is worth more than its tracking: without an app it runs all the same.
        let tasks = Tasks::current().unwrap_or_else(|| {
            tracing::warn!(
                task.name = name,
                "no app is served yet, so this task will not count as busy: \
                 serve the app first, or call `Tasks::set_process_default`"
            );
            Tasks::detached()
        });
        Self { state: State::Waiting(Call { name, future, tasks, settle: Outcome::settle }) }
    }

    /// Starts the task in the background, tracked before this returns.
    ///
    /// # Panics
    /// Called outside a tokio runtime, before the app is served; or after the task was polled.
    pub fn spawn(self) -> TaskHandle<F::Output>
    where
        F: Send + 'static,
        F::Output: Send + 'static,
    {
        match self.state {
            State::Waiting(call) => {
                let guard = call.start();
                TaskHandle::spawn(call.future, guard, call.settle)
            }
            State::Running(_) | State::Done => panic!("a task is spawned before it is polled, not after"),
        }
    }
}

impl<F: Future> Call<F> {
    fn start(&self) -> TaskGuard {
        self.tasks.task(self.name).start()
    }
}

impl<F: Future> Future for AsyncTask<F> {
    type Output = Result<F::Output, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut tracked = match std::mem::replace(&mut self.state, State::Done) {
            State::Waiting(call) => {
                let guard = call.start();
                Box::pin(Tracked::new(call.future, guard, call.settle))
            }
            State::Running(tracked) => tracked,
            State::Done => panic!("a task is not polled after its end"),
        };
        let polled = tracked.as_mut().poll(cx);
        if polled.is_pending() {
            self.state = State::Running(tracked);
        }
        polled
    }
}
