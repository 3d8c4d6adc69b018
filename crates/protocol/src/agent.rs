//! The agent's server: paths, ports, limits, and the environment variables it reads.

/// Path of the entrypoint (`POST`).
pub const INVOCATIONS_PATH: &str = "/invocations";
/// Path of the health check (`GET`).
pub const PING_PATH: &str = "/ping";
/// Path of the WebSocket (`GET` with an upgrade).
pub const WEBSOCKET_PATH: &str = "/ws";

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
