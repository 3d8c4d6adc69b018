//! What a session is found by.

use std::fmt;
use std::sync::{Arc, LazyLock};

use agentcore_protocol::SessionId;

/// Whose session it is. A session belongs to the principal that began it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// Whoever may reach the loopback address of this machine.
    pub fn local() -> Self {
        static LOCAL: LazyLock<Arc<str>> = LazyLock::new(|| "local".into());
        Self(LOCAL.clone())
    }

    /// The principal of that name, as the store keeps it.
    pub(crate) fn named(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&agentcore_auth::Principal> for Principal {
    fn from(principal: &agentcore_auth::Principal) -> Self {
        Self(principal.name().clone())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a session is found by. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    pub(crate) principal: Principal,
    pub(crate) agent: Arc<str>,
    pub(crate) session: SessionId,
}
