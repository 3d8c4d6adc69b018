//! The network of a session.
//!
//! Its two hooks are called by [`enclosure`](super::enclosure) and [`inner`](super::inner).

use std::io;

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// What an agent can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Whatever the host can.
    #[default]
    Host,
}

impl NetworkMode {
    /// Whether it is a network namespace of its own.
    pub(crate) fn is_apart(self) -> bool {
        match self {
            Self::Host => false,
        }
    }
}

/// What init does, outside and with its own rights, once the inner process and with it the network
/// namespace exist. The inner process waits meanwhile; its ids are mapped already.
pub(crate) fn outside(mode: NetworkMode, _inner: Pid) -> io::Result<()> {
    match mode {
        NetworkMode::Host => Ok(()),
    }
}

/// What the inner process does, inside, with all rights over its own namespaces and the host's
/// files still in sight; before the root is built.
pub(crate) fn inside(mode: NetworkMode) -> io::Result<()> {
    match mode {
        NetworkMode::Host => Ok(()),
    }
}
