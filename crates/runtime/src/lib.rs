//! The host: sessions that live while busy, their store, and the HTTP API.
//!
//! ```no_run
//! use std::sync::Arc;
//! use agentcore_protocol::SystemClock;
//! use agentcore_runtime::{AgentDefinition, Host, HostOptions};
//!
//! # async fn run(kind: Arc<dyn agentcore_sandbox::SandboxKind>) -> Result<(), agentcore_runtime::HostError> {
//! let mut options = HostOptions::new("/var/lib/agentcore");
//! options.agents.push(AgentDefinition::new("writer", "/srv/writer/bin/serve", "/srv/writer"));
//! let host = Host::start(options, kind, Arc::new(SystemClock)).await?;
//! println!("http://{}", host.local_addr());
//! host.serve_until(std::future::pending()).await
//! # }
//! ```

mod agent;
mod api;
pub mod audit;
mod carried_on;
mod host;
mod invocations;
mod journal;
mod key;
mod link;
mod logs;
mod options;
mod rate;
mod registry;
mod session;
mod store;
mod threads;
mod time;
mod watched;

pub use agent::{AgentDefinition, InvalidAgent, ResourceLimitsForm};
pub use api::{HOST_TOKEN_FILE, HOST_TOKEN_HEADER};
pub use host::{HOST_RECORD_FILE, Host, HostError, HostRecord, TlsError, TlsOptions};
pub use key::Principal;
pub use options::{
    AgentRetention, AuthOptions, DEFAULT_LISTEN, HostLimits, HostOptions, OnShutdown, Retention, Timeouts,
    days,
};
pub use registry::{AwsIdentity, SessionSettings};
pub use session::reason::{StopKind, StopReason};
pub use store::StoreError;
pub use threads::host_runtime;
