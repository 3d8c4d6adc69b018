//! `agentcore config`: what follows from the configuration.

mod agent;

use std::process::ExitCode;

use agentcore_protocol::agent::DEFAULT_PORT;
use agentcore_runtime::HostOptions;
use clap::Subcommand;
use serde::{Serialize, Serializer};
use serde_json::Value;

use self::agent::EffectiveAgent;
use super::launch;
use crate::context::Context;
use crate::output::table::pairs;
use crate::output::{self, FAINT, STRONG, styled};

/// Show what follows from the configuration.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show the effective configuration: every value that `launch -l` would use, defaults included and marked
    Show {
        /// Print JSON; what the file says of an agent is listed in its `configured`, the rest are defaults
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
    #[serde(serialize_with = "without_agents")]
    host: HostOptions,
}

/// Prints the effective configuration.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Show { json } = &args.command;
    let project = context.project()?;
    let host = launch::host_options(&project, DEFAULT_PORT);
    let mut agents = Vec::new();
    for name in project.agent_names() {
        agents.push(EffectiveAgent::of(&project, &name, &host)?);
    }
    let effective = Effective {
        project: project.folder().display().to_string(),
        configuration: project.path().display().to_string(),
        state: host.state.display().to_string(),
        endpoint: context.host().endpoint().as_str().to_owned(),
        default_agent: project.default_agent(),
        agents,
        host,
    };
    if *json {
        output::json(&effective)?;
    } else {
        output::line(text(&effective)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

// They are shown by themselves, and those of the file before they are built.
fn without_agents<S: Serializer>(host: &HostOptions, serializer: S) -> Result<S::Ok, S::Error> {
    let mut options = serde_json::to_value(host).map_err(serde::ser::Error::custom)?;
    if let Some(options) = options.as_object_mut() {
        options.remove("agents");
        options.remove("default_agent");
    }
    options.serialize(serializer)
}

fn text(effective: &Effective) -> anyhow::Result<String> {
    let mut blocks = vec![pairs([
        ("Configuration", effective.configuration.clone()),
        ("State", effective.state.clone()),
        ("Endpoint", effective.endpoint.clone()),
    ])];
    for agent in &effective.agents {
        let default = effective.default_agent.as_ref() == Some(&agent.name);
        let mark = if default { styled(FAINT, " (the default agent)") } else { String::new() };
        blocks.push(format!("{}{mark}\n{}", styled(STRONG, &agent.name), agent.text()));
    }
    let mut options = Vec::new();
    flatten("  ", without_agents(&effective.host, serde_json::value::Serializer)?, &mut options);
    let lines = pairs(options.iter().map(|(name, value)| (name.as_str(), value.clone())));
    blocks.push(format!("{}\n{lines}", styled(STRONG, "Host of launch -l")));
    Ok(blocks.join("\n\n"))
}

/// Options under their names in a host's configuration file. One that is not set says nothing.
fn flatten(name: &str, value: Value, options: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(inner) => {
            let separator = if name.trim().is_empty() { "" } else { "." };
            for (key, value) in inner {
                flatten(&format!("{name}{separator}{key}"), value, options);
            }
        }
        Value::String(text) => options.push((name.to_owned(), text)),
        other => options.push((name.to_owned(), other.to_string())),
    }
}
