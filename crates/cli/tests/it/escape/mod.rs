//! The escape suite for hosts: attacks from inside a session of a running host, on the host and on
//! another of its sessions.
//!
//! [`hostile.py`](hostile.py) is both sessions' agent. [`scene`] is a host with them, as root or as
//! another user, with agents that have networks of their own or share the machine's. [`table`] is what
//! came of it, as docs/SECURITY.md shows it. What the walls are for by themselves, and that each is
//! missed when it is taken out, is shown by the suite of the crate `agentcore-sandbox`.

#[path = "../../../../sandbox/tests/it/escape/docs.rs"]
mod docs;
mod scene;
mod table;

use agentcore_sandbox::NetworkMode;
use serde::Deserialize;

use scene::Scene;

/// A user that nobody is.
const SOMEBODY: u32 = 4_242;

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Outcome {
    attempt: String,
    /// What is to stop it.
    wall: String,
    /// `stopped` or `gets through`.
    result: String,
    /// What stopped it.
    by: String,
}

impl Outcome {
    /// Of an attempt that is judged from outside.
    fn judged(attempt: &str, wall: &str, stopped: bool, by: String) -> Self {
        let result = if stopped { "stopped" } else { "gets through" };
        Self { attempt: attempt.to_owned(), wall: wall.to_owned(), result: result.to_owned(), by }
    }

    fn gets_through(&self) -> bool {
        self.result != "stopped"
    }
}

/// What goes by the network alone.
const PORT: &str = "call another session's agent by its port";
/// What an agent that shares the machine's network is known to reach; docs/SECURITY.md says so.
const OPEN_WITH_HOST: [&str; 2] = [PORT, "invoke another session whose id it knows"];

#[tokio::test]
async fn a_session_reaches_neither_its_host_nor_another_session() {
    let mut columns = Vec::new();
    for (mode, who, user) in [
        (NetworkMode::Egress, "root", None),
        (NetworkMode::Egress, "a user", Some(SOMEBODY)),
        (NetworkMode::Host, "root", None),
        (NetworkMode::Host, "a user", Some(SOMEBODY)),
    ] {
        let Some(scene) = Scene::set(mode, user).await else { return };
        let outcomes = scene.play().await;
        let through = outcomes.iter().filter(|it| it.gets_through()).map(|it| &*it.attempt);
        let known: &[&str] = if mode == NetworkMode::Host { &OPEN_WITH_HOST } else { &[] };
        assert_eq!(through.collect::<Vec<_>>(), known, "{mode:?} as {who}: {outcomes:#?}");
        columns.push(outcomes);
    }
    table::compare_with_docs(&columns);
}
