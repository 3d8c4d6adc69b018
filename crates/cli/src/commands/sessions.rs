//! `agentcore sessions`: which there are, and what became of one.

use std::process::ExitCode;

use agentcore_protocol::Timestamp;
use clap::{Subcommand, ValueEnum};

use crate::client::escape;
use crate::client::model::{Event, Reason, Session, SessionDetail, Sessions};
use crate::context::Context;
use crate::output::amount::amount;
use crate::output::table::{pairs, table};
use crate::output::time::{moment, precise, relative, span};
use crate::output::{self, BAD, FAINT, GOOD, NOTE, STRONG, styled};
use crate::target::explain_unknown;

/// List sessions, or show what became of one.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: SessionsCommand,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// List sessions, newest first: those that run, and those that ended lately
    List {
        /// Only sessions of this agent
        #[arg(short, long)]
        agent: Option<String>,
        /// Only sessions in this state
        #[arg(long)]
        state: Option<StateFilter>,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a session: its state, its timeline, and why it ended
    Show {
        /// The session [default: that of the last invocation, else the newest]
        session_id: Option<String>,
        /// Name of the agent [default: the default one]
        #[arg(short, long)]
        agent: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateFilter {
    Running,
    Stopped,
    All,
}

/// Lists sessions, or shows one.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    match &args.command {
        SessionsCommand::List { agent, state, limit, json } => {
            let state = state.and_then(|state| state.to_possible_value());
            let state = state.as_ref().map(|value| value.get_name());
            let limit = limit.map(|limit| limit.to_string());
            let query = [("agent", agent.as_deref()), ("state", state), ("limit", limit.as_deref())];
            let found: Sessions = context.host().get("/sessions", &query).await?;
            if *json { output::json(&found.sessions)? } else { list(&found.sessions, context.now())? }
        }
        SessionsCommand::Show { session_id, agent, json } => {
            let target = context.target(agent.as_deref(), session_id.as_deref())?;
            let client = context.host();
            let path = format!("/sessions/{}", escape(&target.session_or_newest(&client).await?));
            let query = [("agent", target.agent.as_deref())];
            let found: SessionDetail = client.get(&path, &query).await.map_err(explain_unknown)?;
            if *json { output::json(&found)? } else { output::line(detail(&found, context.now()))? }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(sessions: &[Session], now: Timestamp) -> anyhow::Result<()> {
    if sessions.is_empty() {
        output::note("There are no sessions. `agentcore invoke` begins one.");
        return Ok(());
    }
    let rows = sessions.iter().map(|session| {
        let memory = session.usage.as_ref().map(|usage| amount(usage.memory_bytes)).unwrap_or_default();
        [
            session.session_id.clone(),
            session.agent.clone(),
            styled_state(&session.state),
            relative(session.started_at, now),
            memory,
            outlook(session, now),
        ]
    });
    Ok(output::line(table(["SESSION", "AGENT", "STATE", "STARTED", "MEMORY", "ENDS"], rows))?)
}

/// What comes next for a session, or why it ended.
fn outlook(session: &Session, now: Timestamp) -> String {
    if let Some(reason) = &session.reason {
        let ended = session.ended_at.map(|at| format!("{}: ", relative(at, now))).unwrap_or_default();
        return format!("{ended}{}", reason.kind);
    }
    let life = session.max_lifetime_deadline.map(|at| format!("{} at the latest", relative(at, now)));
    match session.idle_deadline {
        Some(at) => format!("{} unless used", relative(at, now)),
        None => life.unwrap_or_default(),
    }
}

fn styled_state(state: &str) -> String {
    let style = match state {
        "active" => GOOD,
        "starting" | "stopping" => NOTE,
        "idle" => STRONG,
        _ => FAINT,
    };
    styled(style, state)
}

/// A session as a page: facts, timeline, earlier lives.
fn detail(detail: &SessionDetail, now: Timestamp) -> String {
    let mut page = vec![pairs(facts(&detail.session, now))];
    if !detail.timeline.is_empty() {
        page.push(format!("{}\n{}", styled(STRONG, "Timeline"), timeline(&detail.timeline)));
    }
    if !detail.earlier.is_empty() {
        let rows = detail.earlier.iter().map(|earlier| {
            let life = earlier.ended_at.map(|at| span(at.since(earlier.started_at))).unwrap_or_default();
            [
                moment(earlier.started_at),
                life,
                earlier.reason.as_ref().map(told_in_a_line).unwrap_or_default(),
            ]
        });
        page.push(format!(
            "{}\n{}",
            styled(STRONG, "Earlier lives"),
            table(["STARTED", "LASTED", "ENDED BY"], rows)
        ));
    }
    page.join("\n\n")
}

fn facts(session: &Session, now: Timestamp) -> Vec<(&'static str, String)> {
    let at = |time: Timestamp| format!("{} ({})", moment(time), relative(time, now));
    let mut facts = vec![
        ("Session", styled(STRONG, &session.session_id)),
        ("Agent", session.agent.clone()),
        ("State", styled_state(&session.state)),
        ("Started", at(session.started_at)),
    ];
    if let Some(ended) = session.ended_at {
        facts.push(("Ended", format!("{}, after {}", at(ended), span(ended.since(session.started_at)))));
    }
    if let Some(reason) = &session.reason {
        facts.push(("Why", told(reason)));
    } else {
        facts.extend(session.ping_status.clone().map(|status| ("Ping", status)));
        facts.push(("In flight", session.in_flight.to_string()));
        facts.extend(session.idle_since.map(|time| ("Idle since", at(time))));
        facts.extend(session.idle_deadline.map(|time| ("Ends if idle", at(time))));
        facts.extend(session.max_lifetime_deadline.map(|time| ("Ends at the latest", at(time))));
    }
    if let Some(usage) = &session.usage {
        let (memory, cpu) = (amount(usage.memory_bytes), usage.cpu_seconds);
        let processes = if usage.processes == 1 { "process" } else { "processes" };
        let text = format!("{memory} of memory, {cpu:.1} s of CPU, {} {processes}", usage.processes);
        facts.push(("Uses", text));
    }
    facts
}

fn told(reason: &Reason) -> String {
    match reason.detail.as_deref() {
        Some(detail) if !detail.is_empty() => format!("{}: {detail}", styled(NOTE, &reason.kind)),
        _ => styled(NOTE, &reason.kind),
    }
}

/// For tables: the end of a log, which may follow a reason, stays out. `--json` has it.
fn told_in_a_line(reason: &Reason) -> String {
    let detail = reason.detail.as_deref().and_then(|detail| detail.lines().next());
    told(&Reason { kind: reason.kind.clone(), detail: detail.map(str::to_owned) })
}

/// A line per event: when, how long after the one before, what.
fn timeline(events: &[Event]) -> String {
    let mut before = None;
    let rows: Vec<_> = events
        .iter()
        .map(|event| {
            let step = before.map(|before| format!("+{}", step(event.at, before))).unwrap_or_default();
            before = Some(event.at);
            let style = match event.event.as_str() {
                "busy" | "healthy" | "started" => GOOD,
                "stopped" | "failed" => BAD,
                _ => NOTE,
            };
            // A detail of several lines, as the tail of a log, goes below its event.
            let detail = event.detail.as_deref().unwrap_or_default().trim_end().to_owned();
            [precise(event.at), step, styled(style, &event.event), detail]
        })
        .collect();
    table(["WHEN", "", "WHAT", ""], rows)
}

fn step(at: Timestamp, before: Timestamp) -> String {
    let passed = at.since(before);
    if passed.as_secs() < 10 { format!("{:.1} s", passed.as_secs_f64()) } else { span(passed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(json: serde_json::Value) -> String {
        let detail: SessionDetail = serde_json::from_value(json).unwrap();
        let page = super::detail(&detail, Timestamp::from_unix_millis(100_000));
        anstream::adapter::strip_str(&page).to_string()
    }

    fn session() -> serde_json::Value {
        serde_json::json!({
            "session_id": "s-1", "agent": "a", "incarnation": "i", "state": "stopped",
            "reason": {"kind": "IdleTimeout", "detail": "idle for 5 s"},
            "started_at": 10_000, "ended_at": 75_000, "in_flight": 0, "a_field_of_the_future": 1,
        })
    }

    #[test]
    fn an_ended_session_tells_why_it_ended() {
        let page = show(session());
        assert!(page.contains("Why      IdleTimeout: idle for 5 s"), "{page}");
        assert!(page.contains("after 1 min 5 s") && !page.contains("In flight"), "{page}");
    }

    #[test]
    fn a_timeline_tells_the_time_between_events() {
        let mut session = session();
        session["timeline"] = serde_json::json!([
            {"at": 10_000, "event": "started", "detail": null},
            {"at": 10_500, "event": "healthy", "detail": "first answer"},
            {"at": 75_000, "event": "stopped", "detail": "IdleTimeout"},
        ]);
        session["earlier"] = serde_json::json!([self::session()]);
        let page = show(session);
        assert!(page.contains("+0.5 s") && page.contains("+1 min 4 s"), "{page}");
        assert!(page.contains("Earlier lives"), "{page}");
    }

    #[test]
    fn the_end_of_a_log_is_told_of_the_latest_life_alone() {
        let mut earlier = session();
        earlier["reason"] = serde_json::json!({
            "kind": "StartupFailed", "detail": "exited with code 3\nTraceback:\n  boom",
        });
        let mut session = earlier.clone();
        session["earlier"] = serde_json::json!([earlier]);
        let page = show(session);
        let (latest, before) = page.split_once("Earlier lives").unwrap();
        assert!(latest.contains("Why      StartupFailed: exited with code 3\nTraceback:"), "{page}");
        assert!(before.ends_with("StartupFailed: exited with code 3"), "{page}");
    }
}
