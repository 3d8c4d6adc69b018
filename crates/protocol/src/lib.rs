//! The AgentCore contract as plain types.
//!
//! What an agent, the host and a caller say to each other: ping status, ids, header names, debug
//! actions, task records and the lines of the task journal, error bodies and lifecycle limits.
//! Nothing in here performs I/O or knows an async runtime, so that the SDK, the host and tools
//! share one vocabulary without sharing anything else.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ping`] | `Healthy` and `HealthyBusy`, and the body of `/ping` |
//! | [`ids`] | session, invocation, incarnation and task ids, validated when made |
//! | [`headers`] | header names, and which headers an agent's code may see |
//! | [`task`] | the record of one background task |
//! | [`journal`] | the lines that an agent appends for each change of a task |
//! | [`debug`] | the debug actions and their answers |
//! | [`error`] | error bodies |
//! | [`lifecycle`] | idle timeout and maximum life of a session |
//! | [`trace`] | W3C trace context |
//! | [`clock`] | timestamps, and the clock that is passed in |
//! | [`agent`] | paths, ports, limits and environment variables of an agent's server |

pub mod agent;
pub mod clock;
pub mod debug;
pub mod error;
pub mod headers;
pub mod ids;
pub mod journal;
pub mod lifecycle;
pub mod ping;
pub mod task;
pub mod trace;

pub use clock::{Clock, SystemClock, Timestamp};
pub use ids::{IncarnationId, InvocationId, SessionId, TaskId};
pub use lifecycle::LifecycleLimits;
pub use ping::{PingReport, PingStatus};
pub use task::{TaskFailure, TaskRecord, TaskStatus};
