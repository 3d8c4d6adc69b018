//! A future that is a task while it runs.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use agentcore_protocol::TaskId;
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::guard::{Task, TaskGuard, panicked};
use crate::outcome::Settled;

/// Why awaiting a task yields no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The task was cancelled.
    #[error("the task was cancelled")]
    Cancelled,
    /// The task panicked, with this message.
    #[error("the task panicked: {0}")]
    Panicked(String),
}

pin_project! {
    /// Polls a future, and ends its task the way the future ends.
    pub(super) struct Tracked<F: Future> {
        #[pin]
        future: F,
        #[pin]
        cancelled: WaitForCancellationFutureOwned,
        guard: Option<TaskGuard>,
        settle: fn(&F::Output) -> Settled,
    }

    impl<F: Future> PinnedDrop for Tracked<F> {
        fn drop(this: Pin<&mut Self>) {
            // Dropped before its end: `tokio::spawn`'s `abort`, a `select!`, or the runtime's end.
            if let Some(guard) = this.project().guard.take() {
                guard.cancelled();
            }
        }
    }
}

impl<F: Future> Tracked<F> {
    pub(super) fn new(future: F, guard: TaskGuard, settle: fn(&F::Output) -> Settled) -> Self {
        let cancelled = guard.task().cancel_token().clone().cancelled_owned();
        Self { future, cancelled, guard: Some(guard), settle }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = Result<F::Output, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let guard = this.guard.as_ref().expect("a future is not polled after its end");
        let tasks = guard.task().tasks().clone();
        if this.cancelled.poll(cx).is_ready() {
            this.guard.take().expect("checked above").cancelled();
            return Poll::Ready(Err(TaskError::Cancelled));
        }
        // A panic is caught here, so that it ends this task and nothing else: neither the thread
        // nor the handler that awaits it. The future is not touched again afterwards.
        let polled = catch_unwind(AssertUnwindSafe(|| tasks.sync_scope(|| this.future.poll(cx))));
        let (settled, output) = match polled {
            Ok(poll) => {
                let value = ready!(poll);
                ((this.settle)(&value), Ok(value))
            }
            Err(panic) => after_panic(&*panic),
        };
        this.guard.take().expect("checked above").settle(settled);
        Poll::Ready(output)
    }
}

/// A task that was spawned. Await it for its value; drop it and the task runs on.
#[derive(Debug)]
pub struct TaskHandle<T> {
    id: TaskId,
    cancel: CancellationToken,
    value: oneshot::Receiver<Result<T, TaskError>>,
}

impl<T: Send + 'static> TaskHandle<T> {
    /// Runs `future` on the runtime.
    pub(super) fn spawn<F>(future: F, guard: TaskGuard, settle: fn(&T) -> Settled) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, handle) = Self::channel(&guard);
        let runtime = guard.task().tasks().registry.runtime();
        let tracked = Tracked::new(future, guard, settle);
        runtime.spawn(async move {
            // Nobody may be waiting for the value; it is on record all the same.
            let _ = sender.send(tracked.await);
        });
        handle
    }

    /// Runs `work` on a thread of its own. Threads of a runtime's pool would do, but a runtime
    /// that shuts down waits for them, and an agent that was told to stop could not.
    pub(super) fn spawn_thread<W>(work: W, guard: TaskGuard, settle: fn(&T) -> Settled) -> Self
    where
        W: FnOnce(Task) -> T + Send + 'static,
    {
        let (sender, handle) = Self::channel(&guard);
        let tasks = guard.task().tasks().clone();
        let runtime = tasks.registry.runtime();
        let run = move || {
            let _runtime = runtime.enter();
            let task = guard.task().clone();
            let (settled, value) = match catch_unwind(AssertUnwindSafe(|| tasks.sync_scope(|| work(task)))) {
                Ok(value) => (settle(&value), Ok(value)),
                Err(panic) => after_panic(&*panic),
            };
            guard.settle(settled);
            let _ = sender.send(value);
        };
        if let Err(error) = std::thread::Builder::new().name("agentcore-task".into()).spawn(run) {
            // The closure is gone, and with it the guard, which completed the task: say so here.
            tracing::error!(task.id = %handle.id, %error, "a thread for the task cannot be started");
        }
        handle
    }

    fn channel(guard: &TaskGuard) -> (oneshot::Sender<Result<T, TaskError>>, Self) {
        let (sender, value) = oneshot::channel();
        (sender, Self { id: guard.id(), cancel: guard.task().cancel_token().clone(), value })
    }
}

impl<T> TaskHandle<T> {
    /// Which task this is.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Asks the task to end: see [`Tasks::cancel`](super::Tasks::cancel).
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let received = ready!(Pin::new(&mut self.value).poll(cx));
        // The sender goes without a word only when the runtime ends.
        Poll::Ready(received.unwrap_or(Err(TaskError::Cancelled)))
    }
}

fn after_panic<T>(panic: &(dyn Any + Send)) -> (Settled, Result<T, TaskError>) {
    let message = panic_message(panic);
    (Settled::Failed(panicked(&message)), Err(TaskError::Panicked(message)))
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
