//! What can go wrong between this program and a host.

use http::StatusCode;

/// Why a host did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{text:?} is no address of a host: {reason}")]
    Endpoint { text: String, reason: String },
    #[error("no host answers at {endpoint}")]
    NotRunning { endpoint: String },
    #[error("the host at {endpoint} cannot be trusted: {reason}")]
    Untrusted { endpoint: String, reason: String },
    #[error("the connection to the host at {endpoint} failed: {reason}")]
    Connection { endpoint: String, reason: String },
    #[error("the answer was cut short: the connection was closed in the middle of it")]
    CutShort,
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
    #[error("what answers at {endpoint} is no agentcore host ({reason})")]
    NoHost { endpoint: String, reason: String },
}

impl ClientError {
    /// Whether nothing listens where a host should be.
    pub(crate) fn is_not_running(&self) -> bool {
        matches!(self, Self::NotRunning { .. })
    }

    /// Whether the connection is gone, which may come back.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Connection { .. } | Self::CutShort)
    }

    /// Whether the host knows no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Endpoint { .. } => "write it like http://127.0.0.1:8080 or https://agents.example.com".to_owned(),
            Self::NotRunning { .. } => {
                "start it with `agentcore launch -l` in the project's folder, or name it with --endpoint"
                    .to_owned()
            }
            Self::Untrusted { .. } => {
                "call it by a name that its certificate has (--endpoint), and name the root of a private one with \
                 --ca-bundle or AWS_CA_BUNDLE"
                    .to_owned()
            }
            Self::NoHost { .. } => {
                "something else has the port: see `agentcore doctor`, or name the host with --endpoint"
                    .to_owned()
            }
            Self::Connection { .. } | Self::CutShort => {
                "`agentcore status` tells whether the host still runs, and what became of the session"
                    .to_owned()
            }
            Self::Refused { status: StatusCode::FORBIDDEN, .. } => {
                "put an access key of the host (`agentcore keys create`) that allows it into AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY"
                    .to_owned()
            }
            Self::Refused { .. } => return None,
        })
    }
}
