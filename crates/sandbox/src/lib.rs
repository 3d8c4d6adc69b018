//! What isolates a session.
//!
//! A [`SandboxKind`] starts sandboxes and finds those that outlived the host again; a [`Sandbox`]
//! is one of them. The host knows nothing else of how agents run.
//!
//! | kind | what it is |
//! |---|---|
//! | [`ProcessKind`] | a process of this machine with all its descendants, under an [`init`] of its own |
//! | [`InMemoryKind`] | closures, for tests of whatever stands above |
//!
//! [`python`] is how agents written in Python are started, [`IncarnationFolder`] what a process
//! sandbox keeps on disk, [`CgroupRoots`] where its limits are enforced.
//!
//! Without the feature `sessions`, which is on by default, nothing is left but [`threads`] and
//! [`UnixIo`]: agents need those, and none of the rest.

#[cfg(feature = "sessions")]
mod cgroup;
#[cfg(feature = "sessions")]
mod contract;
#[cfg(feature = "sessions")]
mod folder;
#[cfg(feature = "sessions")]
pub mod init;
#[cfg(feature = "sessions")]
mod log;
#[cfg(feature = "sessions")]
mod memory;
#[cfg(feature = "sessions")]
mod parcel;
#[cfg(feature = "sessions")]
mod pidfd;
#[cfg(feature = "sessions")]
mod proc;
#[cfg(feature = "sessions")]
mod process;
#[cfg(feature = "sessions")]
pub mod python;
#[cfg(feature = "sessions")]
mod removal;
#[cfg(unix)]
mod stream;
pub mod threads;
#[cfg(feature = "sessions")]
mod walls;
#[cfg(feature = "sessions")]
mod wire;

#[cfg(feature = "sessions")]
pub use cgroup::{CgroupRoots, EnforceableLimits};
#[cfg(feature = "sessions")]
pub use contract::{
    Adopted, BoxFuture, ExecCommand, Execution, Exit, ExitStatus, Io, ResourceLimits, SANDBOX_VARIABLE,
    Sandbox, SandboxKind, SandboxSpec, StartError, StopSignal, Usage,
};
#[cfg(feature = "sessions")]
pub use folder::IncarnationFolder;
#[cfg(feature = "sessions")]
pub use memory::{InMemoryAgent, InMemoryKind, ScriptedCommand, ScriptedStart};
#[cfg(feature = "sessions")]
pub use process::{ProcessKind, ProcessOptions};
#[cfg(feature = "sessions")]
pub use removal::{remove_file_if_there, remove_tree};
#[cfg(unix)]
pub use stream::UnixIo;
#[cfg(feature = "sessions")]
pub use walls::{Missing, NetworkMode, Shortfall, Wall, WallReport, Walls};
