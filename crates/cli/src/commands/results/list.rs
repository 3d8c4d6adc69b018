//! Invocations as people read them.

use std::io;

use agentcore_protocol::Timestamp;

use crate::client::work::Invocation;
use crate::output::table::table;
use crate::output::time::{relative, span};
use crate::output::{self, BAD, FAINT, GOOD, NOTE, styled};

/// A line per invocation.
pub(super) fn print(invocations: &[Invocation], now: Timestamp) -> io::Result<()> {
    if invocations.is_empty() {
        output::note("There are no invocations on record. `agentcore invoke --async` makes one.");
        return Ok(());
    }
    let rows = invocations.iter().map(|invocation| {
        let took =
            invocation.started_at.map(|started| span(invocation.ended_at.unwrap_or(now).since(started)));
        [
            invocation.id.clone(),
            invocation.agent.clone(),
            state(&invocation.state),
            relative(invocation.accepted_at, now),
            took.unwrap_or_default(),
            outcome(invocation),
        ]
    });
    output::line(table(["INVOCATION", "AGENT", "STATE", "ACCEPTED", "TOOK", "ANSWER"], rows))
}

/// What there is of an answer, else why there is none.
fn outcome(invocation: &Invocation) -> String {
    match (&invocation.answer, &invocation.reason) {
        (_, Some(reason)) => reason.lines().next().unwrap_or_default().to_owned(),
        (Some(answer), None) => format!("{}, {} bytes", answer.status, answer.bytes),
        (None, None) => String::new(),
    }
}

fn state(state: &str) -> String {
    let style = match state {
        "completed" => GOOD,
        "accepted" | "running" => NOTE,
        "failed" | "interrupted" => BAD,
        _ => FAINT,
    };
    styled(style, state)
}
