//! The app: what an author puts together, and then serves.

use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::agent::{MAX_PAYLOAD_BYTES, env};
use agentcore_protocol::debug::JobStatus;
use agentcore_protocol::{Clock, PingStatus, SystemClock, TaskId};
use serde::Serialize;
use tokio_util::task::TaskTracker;

use crate::embed::{Front, Interrupter};
use crate::entrypoint::{BlockingHandler, BlockingPool, ErasedHandler, Handler};
use crate::error::ServeError;
use crate::health::{Health, Judge, PingHandler};
use crate::logs;
use crate::serve::{self, Listener, Place, Signals};
use crate::service::{AppService, Shared};
use crate::tasks::{FinishedLimits, Journal, RunningTask, Tasks};
use crate::websocket::{ErasedWebSocketHandler, WebSocketHandler};

/// Threads for blocking handlers, when the author does not say.
const BLOCKING_THREADS: usize = 64;
/// Silence after which a stream is kept alive with a comment.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a server that stops waits for what is under way.
const GRACE: Duration = Duration::from_secs(30);

/// An agent: an entrypoint, and the tasks that it starts.
///
/// ```no_run
/// use bedrock_agentcore::{App, async_task};
/// use serde_json::{Value, json};
///
/// #[async_task]
/// async fn background_work() -> &'static str {
///     tokio::time::sleep(std::time::Duration::from_secs(10)).await; // Status becomes "HealthyBusy"
///     "done"
/// }
///
/// async fn handler(_event: Value) -> Value {
///     background_work().spawn();
///     json!({"status": "started"})
/// }
///
/// fn main() -> Result<(), bedrock_agentcore::ServeError> {
///     App::new().entrypoint(handler).run()
/// }
/// ```
#[must_use = "an app does nothing until it is served"]
pub struct App {
    entrypoint: Option<ErasedHandler>,
    websocket: Option<ErasedWebSocketHandler>,
    judge: Arc<Judge>,
    tasks: Tasks,
    place: Place,
    debug: bool,
    blocking_threads: usize,
    max_payload: usize,
    keep_alive: Duration,
    grace: Duration,
    journal: Option<PathBuf>,
    /// A host has named the folder for the journal, and may ask for the end of tasks.
    hosted: bool,
    interrupter: Option<Interrupter>,
    front: Option<Arc<dyn Front>>,
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl App {
    /// An app without an entrypoint.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An app whose timestamps come from `clock`. For tests that decide what time it is.
    pub fn with_clock(clock: impl Clock + 'static) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let judge = Arc::new(Judge::new(Arc::clone(&clock)));
        let tasks = Tasks::new(clock, Arc::clone(&judge), FinishedLimits::default());
        let journal = std::env::var_os(env::JOURNAL_DIR).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        Self {
            entrypoint: None,
            websocket: None,
            judge,
            tasks,
            place: Place::default(),
            debug: false,
            blocking_threads: BLOCKING_THREADS,
            max_payload: MAX_PAYLOAD_BYTES,
            keep_alive: KEEP_ALIVE,
            grace: GRACE,
            hosted: journal.is_some(),
            journal,
            interrupter: None,
            front: None,
        }
    }

    /// Answers invocations with an async function: see [`Handler`] for its arguments, and
    /// [`IntoAnswer`](crate::IntoAnswer) for what it may return.
    ///
    /// It must not block: blocking and computing handlers go to
    /// [`entrypoint_blocking`](Self::entrypoint_blocking).
    pub fn entrypoint<M>(mut self, handler: impl Handler<M>) -> Self {
        self.entrypoint = Some(ErasedHandler::from_async(handler));
        self
    }

    /// Answers invocations with a plain function that may block and compute as it likes: it runs
    /// on threads of its own, and `/ping` does not wait for it.
    pub fn entrypoint_blocking<M>(mut self, handler: impl BlockingHandler<M>) -> Self {
        self.entrypoint = Some(ErasedHandler::from_blocking(handler));
        self
    }

    pub(crate) fn set_entrypoint(&mut self, handler: ErasedHandler) {
        self.entrypoint = Some(handler);
    }

    pub(crate) fn set_front(&mut self, front: Arc<dyn Front>) {
        self.front = Some(front);
    }

    pub(crate) fn set_interrupter(&mut self, interrupter: Interrupter) {
        self.interrupter = Some(interrupter);
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Answers WebSockets at `/ws`. Without such a handler they are refused with 403. A message may
    /// be as large as a [payload](Self::max_payload).
    pub fn websocket<M>(mut self, handler: impl WebSocketHandler<M>) -> Self {
        let handler = Arc::new(handler);
        self.websocket =
            Some(Arc::new(move |socket, invocation| Arc::clone(&handler).call(socket, invocation)));
        self
    }

    /// Decides the ping status with a function of your own, in place of "busy while tasks run".
    ///
    /// A handler that panics or returns an error is passed over in favour of the automatic rule. One
    /// that takes more than a second gets its last answer repeated until it returns.
    ///
    /// # Panics
    /// The app has a ping handler already.
    pub fn ping<M>(self, handler: impl PingHandler<M>) -> Self {
        assert!(self.judge.set_custom(handler), "an app has one ping handler");
        self
    }

    /// Answers debug actions, and logs more. Not for production: callers can then force the status.
    ///
    /// Such an action is a payload with the member `_agent_core_app_action`: `ping_status`,
    /// `job_status`, `force_busy`, `force_healthy` or `clear_forced_status`. Another is answered with
    /// 400; without debug all of these are ordinary payloads.
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// The port to bind, in place of `PORT` or 8080. A socket that is handed over comes first.
    pub fn port(mut self, port: u16) -> Self {
        self.place.port = Some(port);
        self
    }

    /// The address to bind, in place of loopback (or, within a container, every address).
    pub fn host(mut self, host: impl Into<IpAddr>) -> Self {
        self.place.host = Some(host.into());
        self
    }

    /// How many blocking handlers may run at once (64); others wait their turn.
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads;
        self
    }

    /// Largest payload, in bytes (100,000,000, as on AWS). A larger one is answered with 413.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// After how long a silence a stream is kept alive with a comment (15 s).
    pub fn keep_alive(mut self, silence: Duration) -> Self {
        self.keep_alive = silence;
        self
    }

    /// How long to wait, once told to stop, for tasks and requests that are under way (30 s). What
    /// takes longer ends with the process.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How much is kept of tasks that have ended.
    pub fn finished_tasks(self, limits: FinishedLimits) -> Self {
        self.tasks.set_finished_limits(limits);
        self
    }

    /// Keeps a journal of all changes of tasks in `folder`, in place of the one that the host names
    /// (`AGENTCORE_JOURNAL_DIR`).
    pub fn journal(mut self, folder: impl Into<PathBuf>) -> Self {
        self.journal = Some(folder.into());
        self
    }

    /// The app's tasks, for code outside handlers.
    pub fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    /// The app's ping status, for code outside handlers.
    pub fn health(&self) -> Health {
        Health::new(Arc::clone(&self.judge))
    }

    /// As [`Tasks::add_async_task`].
    pub fn add_async_task(&self, name: impl Into<Cow<'static, str>>, metadata: impl Serialize) -> TaskId {
        self.tasks.add_async_task(name, metadata)
    }

    /// As [`Tasks::complete_async_task`].
    pub fn complete_async_task(&self, id: TaskId) -> bool {
        self.tasks.complete_async_task(id)
    }

    /// As [`Tasks::get_async_task_info`].
    pub fn get_async_task_info(&self) -> JobStatus<RunningTask> {
        self.tasks.get_async_task_info()
    }

    /// As [`Health::get_current_ping_status`].
    pub async fn get_current_ping_status(&self) -> PingStatus {
        self.health().get_current_ping_status().await
    }

    /// As [`Health::force_ping_status`].
    pub fn force_ping_status(&self, status: PingStatus) {
        self.health().force_ping_status(status);
    }

    /// As [`Health::clear_forced_ping_status`].
    pub fn clear_forced_ping_status(&self) {
        self.health().clear_forced_ping_status();
    }

    /// The app as a [`tower::Service`](https://docs.rs/tower), for tests without a socket and
    /// servers of your own.
    ///
    /// # Errors
    /// The folder for the task journal cannot be used.
    pub fn into_service(self) -> Result<AppService, ServeError> {
        if let Some(folder) = &self.journal {
            let journal = Journal::open(folder)
                .map_err(|source| ServeError::Journal { folder: folder.display().to_string(), source })?;
            self.tasks.set_journal(journal);
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tasks.set_runtime(runtime);
        }
        Ok(AppService::new(Shared {
            entrypoint: self.entrypoint,
            websocket: self.websocket,
            judge: self.judge,
            tasks: self.tasks,
            blocking: BlockingPool::new(self.blocking_threads),
            front: self.front,
            hosted: self.hosted,
            interrupter: self.interrupter,
            debug: self.debug,
            max_payload: self.max_payload,
            keep_alive: self.keep_alive,
            handlers: TaskTracker::new(),
        }))
    }

    /// The app as an axum router, to be nested in one of your own.
    ///
    /// # Errors
    /// The folder for the task journal cannot be used.
    pub fn into_router(self) -> Result<axum::Router, ServeError> {
        Ok(axum::Router::new().fallback_service(self.into_service()?))
    }

    /// Serves until SIGTERM or Ctrl-C; then stops accepting, tells tasks, waits for what is under
    /// way for at most the [`grace`](Self::grace) period, and returns. A second signal ends the
    /// process at once.
    ///
    /// It listens on the socket that was handed over (`LISTEN_FDS`), else the port named in the
    /// code, else `PORT`, else 8080; on 127.0.0.1, or on every address within a container.
    ///
    /// # Errors
    /// There is no socket to listen on, or the folder for the task journal cannot be used.
    pub async fn serve(self) -> Result<(), ServeError> {
        logs::init(self.debug);
        let listener = serve::bind(self.place).await?;
        let stop = Signals::listen()?.first();
        self.serve_on(listener, stop).await
    }

    /// Serves on a socket of yours until `stop` resolves; then as [`serve`](Self::serve).
    ///
    /// # Errors
    /// The folder for the task journal cannot be used.
    pub async fn serve_on(self, listener: impl Into<Listener>, stop: impl Future) -> Result<(), ServeError> {
        let (listener, grace) = (listener.into(), self.grace);
        self.tasks.set_process_default();
        let service = self.into_service()?;
        tracing::info!("serving on {listener}");
        serve::serve(service, listener, stop, grace).await;
        Ok(())
    }

    /// Starts a runtime and [`serve`](Self::serve)s: a whole `main`.
    ///
    /// # Errors
    /// As [`serve`](Self::serve), or the runtime cannot be started.
    pub fn run(self) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Runtime::new()?;
        let served = runtime.block_on(self.serve());
        // Work that outlasted the grace period is not waited for.
        runtime.shutdown_background();
        served
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("place", &self.place).field("debug", &self.debug).finish_non_exhaustive()
    }
}
