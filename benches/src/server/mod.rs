//! The servers that are compared, and the bytes that they all receive and send.

pub(crate) mod agent;
pub(crate) mod bare;
pub(crate) mod busy_agent;

use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;

use crate::children::{Program, Server, free_port};

/// How large a payload is, and its answer with it.
const PAYLOAD_BYTES: usize = 1024;

/// The paths that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Path {
    Ping,
    Invocations,
}

impl Path {
    pub(crate) const ALL: [Self; 2] = [Self::Ping, Self::Invocations];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "/ping",
            Self::Invocations => "/invocations",
        }
    }
}

/// What serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A minimal agent in Rust.
    Agent,
    /// hyper alone.
    Hyper,
    /// The official SDK, with this Python.
    Python(PathBuf),
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Agent => "Rust agent",
            Self::Hyper => "bare hyper",
            Self::Python(_) => "official Python SDK",
        }
    }

    pub(crate) async fn start(&self, cpu: Option<usize>) -> anyhow::Result<Server> {
        let port = free_port()?;
        let port_text = port.to_string();
        let program = match self {
            Self::Agent => Program::this(["serve-agent", &port_text])?,
            Self::Hyper => Program::this(["serve-hyper", &port_text])?,
            Self::Python(python) => {
                Program::other(python, ["-c", include_str!("../../python/agent.py"), &port_text])
            }
        };
        let server = Server::start(&program.on_cpu(cpu)?, port).await;
        server.with_context(|| format!("{} is not to be measured", self.name()))
    }
}

/// One KiB of JSON as agents receive it: a prompt, a conversation, some options. Its members are
/// sorted, so that an agent that answers with its payload answers with the same bytes.
pub(crate) fn payload() -> Vec<u8> {
    let with_context = |context: &str| {
        let payload = json!({
            "context": context,
            "messages": [
                {"content": "Which of these contracts end before the summer?", "role": "user"},
                {"content": "Three of them do. Shall I list the dates?", "role": "assistant"},
            ],
            "options": {"max_tokens": 1024, "stream": false, "temperature": 0.2},
            "prompt": "Yes, and say for each who must be told by when.",
            "user": {"id": 48_213, "locale": "en-GB", "roles": ["reader", "editor"]},
        });
        payload.to_string().into_bytes()
    };
    let text = "The agreement runs for twelve months and renews unless notice is given in writing. ";
    let missing = PAYLOAD_BYTES.saturating_sub(with_context("").len());
    with_context(&text.chars().cycle().take(missing).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_has_its_size_and_survives_a_round_trip() {
        let payload = payload();
        assert_eq!(payload.len(), PAYLOAD_BYTES);
        let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(serde_json::to_vec(&value).unwrap(), payload);
    }
}
