//! Why the registry refuses.

use crate::store::StoreError;

/// Why nothing was found or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error("there is no {what} {name:?}: {hint}")]
    NotFound { what: &'static str, name: String, hint: &'static str },
    #[error("{0}")]
    Conflict(String),
    #[error("{message}")]
    Invalid { field: &'static str, message: String },
    #[error("{0}")]
    TooMany(String),
    #[error("the client token was used for another request")]
    TokenMismatch,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    pub(super) fn no_runtime(name: &str) -> Self {
        let hint = "ListAgentRuntimes names those there are";
        Self::NotFound { what: "agent runtime", name: name.to_owned(), hint }
    }

    pub(super) fn no_endpoint(name: &str) -> Self {
        let hint = "ListAgentRuntimeEndpoints names those the runtime has";
        Self::NotFound { what: "endpoint", name: name.to_owned(), hint }
    }

    pub(super) fn no_version(number: &str) -> Self {
        let hint = "ListAgentRuntimeVersions names those the runtime has";
        Self::NotFound { what: "version", name: number.to_owned(), hint }
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }
}
