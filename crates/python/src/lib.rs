//! The native half of the Python package `bedrock_agentcore`.
//!
//! Tasks, ping status, decoding and HTTP are the Rust SDK's; Python brings the handlers. The
//! threads that do I/O never wait for Python's interpreter lock: they put requests into a lane
//! ([`lanes`]) and go on, and a Python thread (a worker, or the one with the event loop) takes them
//! out. So `/ping` is answered while Python computes.

mod channel;
mod core;
mod courier;
mod exchange;
mod front;
mod lanes;
mod number;
mod relay;
mod server;
mod socket;
mod task;

use pyo3::prelude::*;

/// Private: import `bedrock_agentcore` instead.
#[pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use crate::channel::Sink;
    #[pymodule_export]
    use crate::core::Core;
    #[pymodule_export]
    use crate::exchange::Exchange;
    #[pymodule_export]
    use crate::number::parse_float;
    #[pymodule_export]
    use crate::relay::Relay;
    #[pymodule_export]
    use crate::server::Server;
    #[pymodule_export]
    use crate::socket::Socket;
    #[pymodule_export]
    use crate::task::Task;
}
