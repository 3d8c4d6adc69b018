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

use super::Tasks;
use super::guard::{Task, TaskGuard};
use crate::outcome::Settled;

/// Why awaiting a task yields no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The task was cancelled, or the runtime ended before it did.
    #[error("the task was cancelled")]
    Cancelled,
    /// The task panicked, with this message.
    #[error("the task panicked: {0}")]
    Panicked(String),
}

pin_project! {
    /// Polls a future, and ends its task the way the future ends.
    pub(super) struct Tracked<F: Future> {
        // Gone as soon as the task has ended: the record speaks of the end only after the
        // destructors of what the future held have run.
        #[pin]
        future: Option<F>,
        // Made once the future has to be waited for: most that end at once are never cancelled.
        #[pin]
        cancelled: Option<WaitForCancellationFutureOwned>,
        guard: Option<TaskGuard>,
        settle: fn(&F::Output) -> Settled,
    }

    impl<F: Future> PinnedDrop for Tracked<F> {
        fn drop(this: Pin<&mut Self>) {
            // Dropped before its end: `tokio::spawn`'s `abort`, a `select!`, or the runtime's end.
            let mut this = this.project();
            if let Some(guard) = this.guard.take() {
                // Should a destructor panic, the guard sees it: the task has failed.
                guard.task().tasks().clone().sync_scope(|| this.future.set(None));
                guard.cancelled();
            }
        }
    }
}

impl<F: Future> Tracked<F> {
    pub(super) fn new(future: F, guard: TaskGuard, settle: fn(&F::Output) -> Settled) -> Self {
        Self { future: Some(future), cancelled: None, guard: Some(guard), settle }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = Result<F::Output, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let guard = this.guard.as_ref().expect("a future is not polled after its end");
        let tasks = guard.task().tasks().clone();
        let cancel = guard.task().cancel_token();
        // A panic is caught here, so that it ends this task and nothing else: neither the thread
        // nor the handler that awaits it. The future is not touched again afterwards.
        let polled = within(&tasks, || {
            if !cancel.is_cancelled() {
                let future = this.future.as_mut().as_pin_mut().expect("it is there until the task ends");
                if let Poll::Ready(value) = future.poll(cx) {
                    let settled = (this.settle)(&value);
                    this.future.set(None);
                    return Poll::Ready(Some((settled, value)));
                }
                if this.cancelled.is_none() {
                    this.cancelled.set(Some(cancel.clone().cancelled_owned()));
                }
                ready!(this.cancelled.as_mut().as_pin_mut().expect("set above").poll(cx));
            }
            this.future.set(None);
            Poll::Ready(None)
        });
        let ended = match polled {
            Ok(poll) => Ok(ready!(poll)),
            Err(panic) => Err(panic),
        };
        let guard = this.guard.take().expect("checked above");
        Poll::Ready(match ended {
            Ok(Some((settled, value))) => {
                guard.settle(settled);
                Ok(value)
            }
            Ok(None) => {
                guard.cancelled();
                Err(TaskError::Cancelled)
            }
            Err(panic) => Err(guard.panicked(&*panic)),
        })
    }
}

/// A task that was spawned. Await it for its value, or for the [`TaskError`] that it ended with; drop
/// it and the task runs on.
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
        let unstarted = Unstarted(Some(guard));
        let run = move || {
            let _runtime = runtime.enter();
            let guard = unstarted.begin();
            let task = guard.task().clone();
            let worked = within(&tasks, || {
                let value = work(task);
                (settle(&value), value)
            });
            let value = match worked {
                Ok((settled, value)) => {
                    guard.settle(settled);
                    Ok(value)
                }
                Err(panic) => Err(guard.panicked(&*panic)),
            };
            let _ = sender.send(value);
        };
        if let Err(error) = std::thread::Builder::new().name("agentcore-task".into()).spawn(run) {
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

/// Runs an author's code on behalf of `tasks`, and catches its panic.
fn within<T>(tasks: &Tasks, work: impl FnOnce() -> T) -> std::thread::Result<T> {
    catch_unwind(AssertUnwindSafe(|| tasks.sync_scope(work)))
}

/// The guard of a task whose thread has yet to start. Should it never, the task has failed.
struct Unstarted(Option<TaskGuard>);

impl Unstarted {
    fn begin(mut self) -> TaskGuard {
        self.0.take().expect("a task begins once")
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some(guard) = self.0.take() {
            guard.fail("the machine has no thread for it: too many are running");
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use agentcore_protocol::TaskStatus;

    #[test]
    fn a_task_whose_thread_never_starts_has_failed() {
        let tasks = Tasks::detached();
        let guard = tasks.task("t").start();
        let id = guard.id();
        drop(Unstarted(Some(guard)));
        assert_eq!(tasks.get_async_task(id).unwrap().status, TaskStatus::Failed);
        assert_eq!(tasks.active_count(), 0);
    }
}
