//! The servers that are compared, and the bytes that they all receive and send.

pub(crate) mod agent;
pub(crate) mod bare;
pub(crate) mod busy_agent;

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};

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
    /// The same, whose handler takes and gives JSON of any shape.
    UntypedAgent,
    /// hyper alone.
    Hyper,
    /// hyper, and the same parsing and writing of JSON as in the untyped agent.
    HyperJson,
    /// The official SDK, with this Python.
    Python(PathBuf),
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Agent => "Rust agent",
            Self::UntypedAgent => "Rust agent, untyped",
            Self::Hyper => "bare hyper",
            Self::HyperJson => "hyper and serde_json",
            Self::Python(_) => "official Python SDK",
        }
    }

    /// Whether there is something to see on this path that another server does not show.
    pub(crate) fn differs_on(&self, path: Path) -> bool {
        !matches!(self, Self::HyperJson | Self::UntypedAgent) || path == Path::Invocations
    }

    pub(crate) async fn start(&self, cpu: Option<usize>) -> anyhow::Result<Server> {
        let port = free_port()?;
        let port_text = port.to_string();
        let program = match self {
            Self::Agent => Program::this(["serve-agent", &port_text])?,
            Self::UntypedAgent => Program::this(["serve-agent", &port_text, "--untyped"])?,
            Self::Hyper => Program::this(["serve-hyper", &port_text])?,
            Self::HyperJson => Program::this(["serve-hyper", &port_text, "--json"])?,
            Self::Python(python) => {
                Program::other(python, ["-c", include_str!("../../python/agent.py"), &port_text])
            }
        };
        let server = Server::start(&program.on_cpu(cpu)?, port).await;
        server.with_context(|| format!("{} is not to be measured", self.name()))
    }
}

/// One KiB of JSON of the kind that the agents of AWS's guide take: a prompt, and a little about it.
pub(crate) fn payload() -> Vec<u8> {
    let with_prompt = |prompt: &str| {
        let options = json!({"max_tokens": 1024, "stream": false, "temperature": 0.2});
        let user = json!({"id": 48_213, "locale": "en-GB", "roles": ["reader", "editor"]});
        json!({"options": options, "prompt": prompt, "user": user}).to_string().into_bytes()
    };
    let text = "Which of these agreements end before the summer, and who must be told by when? ";
    let missing = PAYLOAD_BYTES.saturating_sub(with_prompt("").len());
    with_prompt(&text.chars().cycle().take(missing).collect::<String>())
}

/// What all servers make of a payload.
pub(crate) fn answer_to(mut payload: Value) -> Value {
    json!({"message": payload["prompt"].take()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_has_its_size_and_its_answer_nearly_so() {
        let payload = payload();
        assert_eq!(payload.len(), PAYLOAD_BYTES);
        let answer = answer_to(serde_json::from_slice(&payload).unwrap()).to_string();
        assert!((PAYLOAD_BYTES * 8 / 10..PAYLOAD_BYTES).contains(&answer.len()), "{answer}");
    }
}
