//! `agentcore audit`: who did what.

mod follow;

use std::path::PathBuf;
use std::process::ExitCode;

use agentcore_protocol::{Clock, SystemClock, Timestamp};
use agentcore_runtime::audit::AuditRecord;

use crate::config::state;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::table::table;
use crate::output::time::moment;
use follow::Records;

/// How often a followed log is looked at.
const LOOK_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// Show who did what: every request to a host that reached an agent, changed something or was refused.
///
/// The records are in the host's state folder, in `audit.jsonl`, for the host's user alone; no host
/// need run. Where nobody is asked who they are, invocations are not on record.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with what is recorded from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Print the records as they are, one JSON object per line
    #[arg(long)]
    json: bool,
    /// Only what this principal or access key did: a part of its name is enough
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only what was later: a time such as 2026-11-23T12:00:00Z, or how long ago, such as 30m or 2h
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Folder of the host's state [default: that of `serve`]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Where the host's state may be instead: a project has a host of its own.
fn hint(context: &Context) -> String {
    let project = context.project_if_any().ok().flatten();
    let state = project.map(|project| state::of_project(project.folder())).filter(|state| state.is_dir());
    match state {
        Some(state) => format!("that of this project's host is there: --state {}", state.display()),
        None => "name the folder of the host's state with --state".to_owned(),
    }
}

/// Prints the records that are asked for.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let hint = || hint(context);
    let state = args.state.clone().or_else(state::of_server);
    let state = state.ok_or_else(|| Failure::new("there is no home folder").hint(hint()))?;
    let mut records = Records::of(state.clone());
    let lines = records.next().map_err(|error| {
        let message = format!("cannot read the audit log in {}: {error}", state.display());
        Failure::new(message).hint("it is for the host's user alone: run this as that user")
    })?;
    if lines.is_empty() && !state.is_dir() {
        return Err(Failure::new(format!("there is no host's state in {}", state.display()))
            .hint(hint())
            .into());
    }
    print(args, &lines, true)?;
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        print(args, &records.next()?, false)?;
    }
}

fn print(args: &Args, lines: &[String], with_head: bool) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for line in lines {
        // A line that is cut short, as by a power failure, says nothing for certain.
        let Ok(record) = serde_json::from_str::<AuditRecord>(line) else { continue };
        if !is_wanted(args, &record) {
            continue;
        }
        match args.json {
            true => output::line(line)?,
            false => rows.push(row(&record)),
        }
    }
    if with_head && !args.json {
        output::line(table(["WHEN", "WHO", "FROM", "WHAT", "ABOUT", "OUTCOME"], rows))?;
    } else {
        for row in rows {
            output::line(row.join("  "))?;
        }
    }
    Ok(())
}

fn is_wanted(args: &Args, record: &AuditRecord) -> bool {
    let names = [&record.principal, &record.key, &record.claimed_key];
    let is_theirs = |wanted: &String| names.into_iter().flatten().any(|name| name.contains(wanted.as_str()));
    args.principal.as_ref().is_none_or(is_theirs) && args.since.is_none_or(|since| record.time >= since)
}

fn row(record: &AuditRecord) -> [String; 6] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let claimed = record.claimed_key.as_ref().map(|key| format!("? ({key})"));
    let what = match &*record.action {
        "Request" => record.request.clone().unwrap_or_else(|| "Request".to_owned()),
        action => action.to_owned(),
    };
    let about: Vec<&str> = [&record.agent, &record.session, &record.about_key]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    [
        moment(record.time),
        or_dash(record.principal.clone().or(claimed)),
        or_dash(record.source.clone()),
        what,
        or_dash((!about.is_empty()).then(|| about.join(" "))),
        outcome(record),
    ]
    .map(|text| printable(&text))
}

/// Strangers choose what is in a path: none of it is to move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

fn outcome(record: &AuditRecord) -> String {
    let status = record.status.map(|status| status.to_string());
    let lost = record.lost.map(|lost| format!("{lost} records lost"));
    let parts: Vec<String> = [status, record.error.clone(), lost].into_iter().flatten().collect();
    if parts.is_empty() { "done".to_owned() } else { parts.join(" ") }
}

/// A point in time, or how long ago it was.
fn since(text: &str) -> Result<Timestamp, String> {
    let millis = match (text.parse::<jiff::Timestamp>(), text.parse::<jiff::SignedDuration>()) {
        (Ok(time), _) => time.as_millisecond(),
        (_, Ok(ago)) => {
            let now = i64::try_from(SystemClock.now().unix_millis()).unwrap_or(i64::MAX);
            now.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
        }
        _ => return Err("write it like 2026-11-23T12:00:00Z, 30m or 2h".to_owned()),
    };
    Ok(Timestamp::from_unix_millis(u64::try_from(millis).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_point_or_how_long_ago() {
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Timestamp::from_unix_millis(1_000)));
        let hour_ago = SystemClock.now().unix_millis() - 3_600_000;
        assert!(since("1h").unwrap().unix_millis().abs_diff(hour_ago) < 10_000);
        assert!(since("yesterday").is_err());
    }

    #[test]
    fn a_record_is_told_in_a_row() {
        let record = AuditRecord {
            claimed_key: Some("AKAC".to_owned()),
            action: "Request".into(),
            request: Some("GET /\x1b[2Jping".to_owned()),
            status: Some(403),
            error: Some("AccessDeniedException".to_owned()),
            ..AuditRecord::default()
        };
        let [_, who, from, what, about, outcome] = row(&record);
        assert_eq!((&*who, &*from, &*what, &*about), ("? (AKAC)", "-", "GET /\u{fffd}[2Jping", "-"));
        assert_eq!(outcome, "403 AccessDeniedException");
    }
}
