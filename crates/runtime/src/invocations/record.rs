//! What is on record of an invocation.

use std::fmt;
use std::sync::Arc;

use agentcore_protocol::{IncarnationId, InvocationId, SessionId, Timestamp};
use axum::http::HeaderMap;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::key::SessionKey;

/// Where an invocation is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It is on disk, and no agent has it.
    Accepted,
    /// It is being given to an agent, or an agent works on it.
    Running,
    /// The agent answered, with a status below 400.
    Completed,
    /// The agent answered with a status from 400 on, or not as it should.
    Failed,
    /// Somebody asked for its end.
    Cancelled,
    /// The session or the host ended while it ran.
    Interrupted,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Accepted, Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Interrupted];

    /// Its number in the store.
    pub(crate) const fn code(self) -> i64 {
        self as i64
    }

    /// The state of that number.
    pub(crate) fn of_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether nothing changes any more.
    pub(crate) const fn is_over(self) -> bool {
        !matches!(self, Self::Accepted | Self::Running)
    }

    /// Its name in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A request as the agent gets it.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
}

/// The body of a request.
#[derive(Clone)]
pub(crate) enum Payload {
    Held(Bytes),
    /// It is too large for the database.
    InFile,
}

impl fmt::Debug for Request {
    /// Neither headers nor payload: they are the caller's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request")
    }
}

/// What a request came with so that it is not carried out twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idempotency {
    pub(crate) key: String,
    /// The hash of the request's body.
    pub(crate) request: [u8; 32],
}

/// An invocation that the host answers for from now on.
#[derive(Debug, Clone)]
pub(crate) struct NewInvocation {
    pub(crate) id: InvocationId,
    pub(crate) key: SessionKey,
    pub(crate) incarnation: IncarnationId,
    pub(crate) accepted_at: Timestamp,
    /// It goes to the agent at once.
    pub(crate) started: bool,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) request: Request,
}

/// The beginning of an agent's answer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Head").field(&self.status).finish()
    }
}

/// What is kept of an agent's answer.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) head: Arc<Head>,
    pub(crate) bytes: u64,
    /// The agent came to its end.
    pub(crate) complete: bool,
    /// `None`: it is in a file.
    pub(crate) body: Option<Bytes>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("head", &self.head).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// How an invocation ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) state: State,
    pub(crate) at: Timestamp,
    pub(crate) reason: Option<String>,
    pub(crate) answer: Option<Answer>,
}

/// All that is on record of an invocation but its request.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) id: InvocationId,
    pub(crate) key: SessionKey,
    pub(crate) incarnation: IncarnationId,
    pub(crate) state: State,
    pub(crate) accepted_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) reason: Option<String>,
    pub(crate) request_hash: Option<[u8; 32]>,
    pub(crate) answer: Option<Answer>,
}

/// Which invocations to list, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// `None`: everybody's.
    pub(crate) principal: Option<crate::key::Principal>,
    pub(crate) agent: Option<String>,
    pub(crate) session: Option<SessionId>,
    pub(crate) state: Option<State>,
    pub(crate) before: Option<InvocationId>,
    pub(crate) limit: u32,
}
