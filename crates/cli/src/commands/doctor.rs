//! `agentcore doctor`: whether this machine can do what is asked of it.

mod checks;

use std::process::ExitCode;

use serde::Serialize;

use crate::context::Context;
use crate::output::progress::Waiting;
use crate::output::{self, BAD, GOOD, NOTE, styled};

/// Check this machine and this project; every line says ok, or what to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_do: Option<String>,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// All is well.
    Ok,
    /// Things work, but could be better.
    Note,
    /// Something does not work.
    Fail,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), to_do: None }
    }

    fn note(name: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Note, found: found.into(), to_do: Some(to_do.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, found: found.into(), to_do: Some(to_do.into()) }
    }
}

/// Makes every check, and fails when one does.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let waiting = Waiting::for_what("checking");
    let checks = checks::all(context).await;
    drop(waiting);
    if args.json {
        output::json(&checks)?;
    } else {
        for check in &checks {
            output::line(line(check))?;
        }
    }
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(check: &Check) -> String {
    let verdict = match check.verdict {
        Verdict::Ok => styled(GOOD, "ok  "),
        Verdict::Note => styled(NOTE, "note"),
        Verdict::Fail => styled(BAD, "FAIL"),
    };
    let to_do = check.to_do.as_ref().map(|to_do| format!("\n      -> {to_do}")).unwrap_or_default();
    format!("{verdict}  {}: {}{to_do}", check.name, check.found)
}
