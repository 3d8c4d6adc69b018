//! The agent's server: paths, ports, limits, and the environment variables it reads.

use crate::ids::TaskId;

/// Path of the entrypoint (`POST`).
pub const INVOCATIONS_PATH: &str = "/invocations";
/// Path of the health check (`GET`).
pub const PING_PATH: &str = "/ping";
/// Path of the WebSocket (`GET` with an upgrade).
pub const WEBSOCKET_PATH: &str = "/ws";
/// What the path under which a host asks for the end of a task begins with: see
/// [`cancel_task_path`]. Served to a host that keeps the task journal, and to nobody else.
pub const TASKS_PATH: &str = "/_agentcore/v1/tasks/";
/// What such a path ends with.
pub const CANCEL_SUFFIX: &str = "/cancel";

/// Path of the cancellation of a task (`POST`). Answered with 202 and `{"task_id": ...}`, or with
/// 409 when no such task is running.
pub fn cancel_task_path(task: TaskId) -> String {
    format!("{TASKS_PATH}{task}{CANCEL_SUFFIX}")
}

/// The task that such a path names.
pub fn task_to_cancel(path: &str) -> Option<TaskId> {
    path.strip_prefix(TASKS_PATH)?.strip_suffix(CANCEL_SUFFIX)?.parse().ok()
}

/// The port an agent serves on when nothing else names one.
pub const DEFAULT_PORT: u16 = 8080;
/// Largest payload of an invocation, in bytes. A larger one is answered with 413.
pub const MAX_PAYLOAD_BYTES: usize = 100_000_000;

/// Environment variables that pass between the host (or a platform) and an agent.
pub mod env {
    /// Port to bind when no socket was handed over and the code names none.
    pub const PORT: &str = "PORT";
    /// How many listening sockets were handed over, from descriptor 3 on (systemd's protocol).
    pub const LISTEN_FDS: &str = "LISTEN_FDS";
    /// The process that [`LISTEN_FDS`] is meant for.
    pub const LISTEN_PID: &str = "LISTEN_PID";
    /// Set inside containers, beside the file `/.dockerenv`.
    pub const DOCKER_CONTAINER: &str = "DOCKER_CONTAINER";
    /// Folder in which the agent keeps its task journal. Absent (as on AWS): no journal.
    pub const JOURNAL_DIR: &str = "AGENTCORE_JOURNAL_DIR";
}
