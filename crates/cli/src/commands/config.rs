//! `agentcore config`: what follows from the configuration.

use std::process::ExitCode;

use agentcore_protocol::lifecycle::LifecycleConfiguration;
use agentcore_runtime::{HostLimits, ResourceLimitsForm};
use agentcore_sandbox::ResourceLimits;
use clap::Subcommand;
use serde::Serialize;

use crate::config::entrypoint::EntrypointKind;
use crate::config::launchable::Launchable;
use crate::config::project::Project;
use crate::config::state;
use crate::context::Context;
use crate::output::amount::amount;
use crate::output::table::pairs;
use crate::output::{self, BAD, FAINT, STRONG, styled};

/// Show what follows from the configuration.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show the effective configuration: every value that `launch -l` would use, defaults included
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Serialize)]
struct Effective {
    project: String,
    configuration: String,
    state: String,
    endpoint: String,
    default_agent: Option<String>,
    agents: Vec<EffectiveAgent>,
}

#[derive(Debug, Serialize)]
struct EffectiveAgent {
    name: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What would be launched, or why nothing can be.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Launchable {
        kind: EntrypointKind,
        entrypoint: String,
        code: String,
        interpreter: Option<String>,
        idle_timeout: u64,
        max_lifetime: u64,
        #[serde(with = "ResourceLimitsForm")]
        limits: ResourceLimits,
    },
    Broken {
        error: String,
    },
}

/// Prints the effective configuration.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Show { json } = &args.command;
    let project = context.project()?;
    let mut agents = Vec::new();
    for name in project.agent_names() {
        let outcome = outcome(&project, &name)?;
        agents.push(EffectiveAgent { name, outcome });
    }
    let effective = Effective {
        project: project.folder().display().to_string(),
        configuration: project.path().display().to_string(),
        state: state::of_project(project.folder()).display().to_string(),
        endpoint: context.host().endpoint().as_str().to_owned(),
        default_agent: project.default_agent(),
        agents,
    };
    if *json {
        output::json(&effective)?;
    } else {
        output::line(text(&effective))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn outcome(project: &Project, name: &str) -> anyhow::Result<Outcome> {
    let (name, entry) = project.agent(Some(name))?;
    Ok(match Launchable::of(project, &name, &entry, LifecycleConfiguration::default()) {
        Ok(found) => Outcome::Launchable {
            kind: found.entrypoint.kind,
            entrypoint: found.entrypoint.path.display().to_string(),
            code: found.code.display().to_string(),
            interpreter: found.interpreter.map(|path| path.display().to_string()),
            idle_timeout: found.lifecycle.idle_timeout().as_secs(),
            max_lifetime: found.lifecycle.max_lifetime().as_secs(),
            limits: effective_limits(found.limits),
        },
        Err(error) => Outcome::Broken { error: error.to_string() },
    })
}

fn text(effective: &Effective) -> String {
    let mut blocks = vec![pairs([
        ("Configuration", effective.configuration.clone()),
        ("State", effective.state.clone()),
        ("Endpoint", effective.endpoint.clone()),
    ])];
    for agent in &effective.agents {
        let default = effective.default_agent.as_ref() == Some(&agent.name);
        let mark = if default { styled(FAINT, " (default)") } else { String::new() };
        blocks.push(format!("{}{mark}\n{}", styled(STRONG, &agent.name), agent_text(&agent.outcome)));
    }
    blocks.join("\n\n")
}

fn agent_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Broken { error } => format!("  {} {error}", styled(BAD, "cannot be launched:")),
        Outcome::Launchable { kind, entrypoint, code, interpreter, idle_timeout, max_lifetime, limits } => {
            let runs = match (kind, interpreter) {
                (EntrypointKind::Cargo, _) => format!("what `cargo build` makes of {entrypoint}"),
                (_, Some(python)) => format!("{python} {entrypoint}"),
                (_, None) => entrypoint.clone(),
            };
            pairs(
                [
                    ("  Runs", runs),
                    ("  Code", code.clone()),
                    ("  Idle timeout", format!("{idle_timeout} s")),
                    ("  Maximum life", format!("{max_lifetime} s")),
                ]
                .into_iter()
                .chain(limit_pairs(*limits)),
            )
        }
    }
}

// What the host of `launch` says where the agent says nothing.
fn effective_limits(limits: ResourceLimits) -> ResourceLimits {
    HostLimits::default().of_session(limits)
}

fn limit_pairs(limits: ResourceLimits) -> impl Iterator<Item = (&'static str, String)> {
    let ResourceLimits { memory_bytes, processes, cpus, log_bytes, disk_bytes } = limits;
    let unless_none = |limit: u64, shown: String| if limit == 0 { "no limit".to_owned() } else { shown };
    let bytes = |limit: u64| unless_none(limit, amount(limit));
    [
        ("  Memory", memory_bytes.map(bytes)),
        ("  Processes", processes.map(|count| unless_none(count, count.to_string()))),
        ("  Processors", cpus.map(|count| count.to_string())),
        ("  Log", log_bytes.map(amount)),
        ("  Disk", disk_bytes.map(bytes)),
    ]
    .into_iter()
    .filter_map(|(name, limit)| Some((name, limit?)))
}
