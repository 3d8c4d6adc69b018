//! A host to test, and an agent that does as it is told.

mod agent;
mod host;

pub(crate) use agent::{Behaviour, agent_kind};
pub(crate) use host::{Answer, Serving, TestHost, eventually, session_id};
