//! The author's own ping handler, kept from doing harm.
//!
//! A handler that fails is ignored: the automatic rule decides. One that takes more than a second
//! gets its last answer repeated, since a blocked busy agent must not read as `Healthy`. It is
//! never called again before it has returned, so a handler that hangs costs one thread at most.

use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentcore_protocol::PingStatus;
use futures_util::FutureExt;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::tasks::panic_message;

/// How long a ping waits for the handler.
const PATIENCE: Duration = Duration::from_secs(1);

/// Markers for [`PingHandler`], inferred by the compiler.
pub(crate) mod via {
    /// A plain function.
    pub struct Sync;
    /// An async function.
    pub struct Async;
}

/// What a ping handler may return.
pub trait IntoPingStatus {
    /// The status, or why there is none: that is logged, and the automatic rule decides.
    fn into_ping_status(self) -> Result<PingStatus, String>;
}

impl IntoPingStatus for PingStatus {
    fn into_ping_status(self) -> Result<PingStatus, String> {
        Ok(self)
    }
}

/// `true` is busy.
impl IntoPingStatus for bool {
    fn into_ping_status(self) -> Result<PingStatus, String> {
        Ok(PingStatus::busy_if(self))
    }
}

impl<T: IntoPingStatus, E: Display> IntoPingStatus for Result<T, E> {
    fn into_ping_status(self) -> Result<PingStatus, String> {
        self.map_err(|error| error.to_string())?.into_ping_status()
    }
}

type Answer = Result<PingStatus, String>;
type AnswerFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A ping handler: a function without arguments, async or not, that returns a [`PingStatus`], a
/// `bool` (`true` is busy), or a `Result` of one. `M` is inferred.
pub trait PingHandler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(self: Arc<Self>) -> AnswerFuture;
}

impl<F, Fut> PingHandler<via::Async> for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoPingStatus,
{
    fn call(self: Arc<Self>) -> AnswerFuture {
        Box::pin(async move { self().await.into_ping_status() })
    }
}

impl<F, T> PingHandler<via::Sync> for F
where
    F: Fn() -> T + Send + Sync + 'static,
    T: IntoPingStatus,
{
    /// Runs on a thread of its own: the runtime's threads must not be blocked, and the pool for
    /// blocking handlers may be full.
    fn call(self: Arc<Self>) -> AnswerFuture {
        let (sender, receiver) = oneshot::channel();
        let run = move || {
            let answer = catch_unwind(AssertUnwindSafe(|| self().into_ping_status()));
            let _ = sender.send(answer.unwrap_or_else(|panic| Err(panicked(&*panic))));
        };
        let started = std::thread::Builder::new().name("agentcore-ping".into()).spawn(run);
        Box::pin(async move {
            started.map_err(|error| format!("no thread for it: {error}"))?;
            receiver.await.unwrap_or_else(|_| Err("its thread is gone".into()))
        })
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    format!("it panicked: {}", panic_message(panic))
}

pub(super) struct CustomPing {
    call: Box<dyn Fn() -> AnswerFuture + Send + Sync>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The call that has not returned yet.
    outstanding: Option<Outstanding>,
    /// What the handler last answered.
    last: Option<PingStatus>,
}

#[derive(Clone)]
struct Outstanding {
    deadline: Instant,
    done: watch::Receiver<Option<Result<PingStatus, ()>>>,
}

impl CustomPing {
    pub(super) fn new<M>(handler: impl PingHandler<M>) -> Self {
        let handler = Arc::new(handler);
        Self { call: Box::new(move || Arc::clone(&handler).call()), state: Arc::default() }
    }

    /// What the handler says, or last said. `None`: it failed, or has never answered.
    pub(super) async fn status(&self) -> Option<PingStatus> {
        let Outstanding { deadline, mut done } = self.join_or_call();
        let answered = tokio::time::timeout_at(deadline, done.wait_for(Option::is_some)).await;
        match answered {
            Ok(Ok(answer)) => answer.and_then(Result::ok),
            _ => lock(&self.state).last,
        }
    }

    /// The call that is under way, or a new one.
    fn join_or_call(&self) -> Outstanding {
        let mut state = lock(&self.state);
        // A call whose runtime is gone will never return: then it is made anew.
        if let Some(outstanding) = &state.outstanding
            && outstanding.done.has_changed().is_ok()
        {
            return outstanding.clone();
        }
        let (sender, done) = watch::channel(None);
        let outstanding = Outstanding { deadline: Instant::now() + PATIENCE, done };
        state.outstanding = Some(outstanding.clone());
        drop(state);
        tokio::spawn(see_through((self.call)(), sender, Arc::clone(&self.state)));
        outstanding
    }
}

/// Waits for the handler for as long as it takes, and records what it says.
async fn see_through(
    call: AnswerFuture,
    sender: watch::Sender<Option<Result<PingStatus, ()>>>,
    state: Arc<Mutex<State>>,
) {
    let mut call = std::pin::pin!(AssertUnwindSafe(call).catch_unwind());
    let caught = match tokio::time::timeout(PATIENCE, &mut call).await {
        Ok(caught) => caught,
        Err(_) => {
            tracing::warn!(
                "the ping handler takes more than a second: its last answer stands until it returns"
            );
            call.await
        }
    };
    let answer = caught.unwrap_or_else(|panic| Err(panicked(&*panic)));
    if let Err(error) = &answer {
        tracing::error!(error, "the ping handler failed: the automatic status stands in for it");
    }
    let mut state = lock(&state);
    state.outstanding = None;
    state.last = answer.as_ref().ok().copied();
    let _ = sender.send(Some(answer.map_err(drop)));
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
