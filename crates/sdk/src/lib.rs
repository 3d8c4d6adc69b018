//! Write agents that answer at once and keep working.
//!
//! An agent is an [`App`] with an entrypoint. What it starts in the background is a *task*: while
//! one runs, `/ping` says `HealthyBusy` and the platform keeps the session alive; its progress, its
//! result or its error can be read afterwards.
//!
//! ```no_run
//! use bedrock_agentcore::{App, RequestContext, Tasks, async_task};
//! use serde_json::{Value, json};
//!
//! #[async_task]
//! async fn background_work() -> &'static str {
//!     tokio::time::sleep(std::time::Duration::from_secs(10)).await;
//!     "done"
//! }
//!
//! async fn handler(event: Value, context: RequestContext) -> Value {
//!     let task = background_work().spawn();
//!     json!({"status": "started", "task_id": task.id(), "session": context.session_id()})
//! }
//!
//! fn main() -> Result<(), bedrock_agentcore::ServeError> {
//!     App::new().entrypoint(handler).run()
//! }
//! ```
//!
//! # Entrypoints
//! An async function over any payload that serde can deserialize ([`Handler`]), or a plain one that
//! may block ([`App::entrypoint_blocking`]). After the payload it takes what it needs
//! ([`FromInvocation`]): [`RequestContext`], [`Tasks`], [`Health`], a [`CancellationToken`] that
//! fires when the client goes away. It returns any `Serialize` value, a stream (sent as server-sent
//! events), a whole [`Response`], or a `Result` of these ([`IntoAnswer`]).
//!
//! # Three ways to manage tasks
//! 1. [`#[async_task]`](macro@async_task) on an async function (recommended).
//! 2. By hand: [`Tasks::task`] starts a task with a guard, spawns a future or blocking work;
//!    [`Tasks::add_async_task`] and [`Tasks::complete_async_task`] count work that happens elsewhere.
//! 3. A ping handler of your own: [`App::ping`].
//!
//! The status is decided in this order: forced ([`Health::force_ping_status`], or a debug action),
//! the ping handler, automatic (busy while tasks run).
//!
//! # Serving
//! [`App::run`] is a whole `main`; [`App::serve`] is for a runtime of your own;
//! [`App::into_service`] and [`App::into_router`] are for tests without a socket and for servers of
//! your own.

mod app;
mod cancel;
mod debug;
#[doc(hidden)]
pub mod embed;
mod entrypoint;
mod error;
mod health;
pub mod logs;
mod outcome;
mod respond;
mod serve;
mod service;
mod tasks;
mod websocket;

pub use agentcore_protocol::debug::JobStatus;
pub use agentcore_protocol::{
    Clock, PingReport, PingStatus, SystemClock, TaskFailure, TaskId, TaskRecord, TaskStatus, Timestamp,
};
pub use bedrock_agentcore_macros::async_task;
pub use http::StatusCode;
pub use tokio_util::sync::CancellationToken;

pub use crate::app::App;
/// [`App`] under the name that people know from Python.
pub use crate::app::App as BedrockAgentCoreApp;
pub use crate::entrypoint::{BlockingHandler, FromInvocation, Handler, IntoAnswer, RequestContext};
pub use crate::error::{HandlerError, ServeError};
pub use crate::health::{Health, IntoPingStatus, PingHandler};
pub use crate::outcome::Outcome;
pub use crate::respond::{Body, Response};
pub use crate::serve::Listener;
pub use crate::service::AppService;
pub use crate::tasks::{
    AsyncTask, FinishedLimits, RunningTask, Task, TaskBuilder, TaskError, TaskGuard, TaskHandle, Tasks,
};
pub use crate::websocket::{Message, WebSocket, WebSocketError, WebSocketHandler};
