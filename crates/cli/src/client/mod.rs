//! Talking to a host.

pub(crate) mod credentials;
mod endpoint;
mod error;
mod host;
pub(crate) mod model;
pub(crate) mod patience;
mod signature;
pub(crate) mod sse;
pub(crate) mod work;

pub(crate) use endpoint::Endpoint;
pub(crate) use error::ClientError;
pub(crate) use host::{HostClient, escape, is_event_stream};
pub(crate) use signature::Signer;
