//! `agentcore configure`: what to run, under which name, and for how long.

use std::path::Path;
use std::process::ExitCode;

use agentcore_protocol::lifecycle::{LifecycleBounds, LifecycleConfiguration};
use clap::{Subcommand, ValueEnum};

use crate::config::agent::AgentSettings;
use crate::config::entrypoint::{Entrypoint, EntrypointError, EntrypointKind};
use crate::config::launchable::code_folder;
use crate::config::name::AgentName;
use crate::config::project::Project;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, FAINT, GOOD, STRONG, styled, table::table};

/// Configure an agent: what to run, under which name, and how long its sessions live.
///
/// What is said is kept in `.bedrock_agentcore.yaml`, in the form that AWS's toolkit reads and
/// writes. The agent becomes the default one. Configuring it again changes only what is said.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<ConfigureCommand>,
    /// What to run: a Python file (`file.py` or `file.py:name`), a program, a Cargo project, or a
    /// folder with one of agent.py, app.py, main.py, `__main__.py` [default: this folder]
    #[arg(short, long, value_name = "FILE|DIR")]
    entrypoint: Option<String>,
    /// Name of the agent [default: made from the path]
    #[arg(short, long)]
    name: Option<AgentName>,
    /// End a session after so many idle seconds, from 1 [default: 900]
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: Option<u64>,
    /// End a session after so many seconds in any case [default: 28800]
    #[arg(long, value_name = "SECONDS")]
    max_lifetime: Option<u64>,
    /// What the agent speaks: HTTP is all that a host serves so far
    #[arg(short, long, ignore_case = true)]
    protocol: Option<Protocol>,
    /// Ask nothing. Nothing is ever asked; kept for scripts written for AWS's toolkit
    #[arg(long)]
    non_interactive: bool,
    #[command(flatten)]
    aws: AwsArgs,
}

/// What AWS's toolkit is told and this host has no use for. It is kept in the file.
#[derive(Debug, clap::Args)]
struct AwsArgs {
    #[arg(short, long, hide = true)]
    region: Option<String>,
    #[arg(long, hide = true)]
    execution_role: Option<String>,
    #[arg(long, hide = true)]
    deployment_type: Option<String>,
    #[arg(long, hide = true)]
    runtime: Option<String>,
    #[arg(long, hide = true)]
    requirements_file: Option<String>,
    #[arg(long, hide = true)]
    disable_memory: bool,
    #[arg(long, hide = true)]
    disable_otel: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigureCommand {
    /// List the configured agents
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Choose the agent that commands mean when they name none
    SetDefault {
        /// Name of the agent
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Protocol {
    Http,
    #[value(hide = true)]
    Mcp,
    #[value(hide = true)]
    A2a,
    #[value(hide = true)]
    Agui,
}

/// Configures an agent, lists the agents, or chooses the default one.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => configure(args, context)?,
        Some(ConfigureCommand::List { json }) => list(&context.project()?, *json)?,
        Some(ConfigureCommand::SetDefault { name }) => {
            context.project()?.set_default(name)?;
            output::note(format_args!("{name} is the default agent now"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn configure(args: &Args, context: &Context) -> anyhow::Result<()> {
    let folder = context.folder();
    let mut project = Project::open_or_new(folder)?;
    let protocol = args.protocol.map(served).transpose()?;
    let known = args.name.as_ref().map(|name| project.agent_if_any(name)).transpose()?.flatten();
    let configured = known.and_then(|entry| entry.entrypoint);
    // An agent that is there already keeps its entrypoint when none is said.
    let text = args.entrypoint.clone().or(configured).unwrap_or_else(|| ".".to_owned());
    let entrypoint = resolve(&text, folder)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => name_for(&entrypoint, folder)?,
    };
    let existing = project.agent_if_any(&name)?;
    check_lifecycle(args, existing.as_ref().map(|entry| entry.lifecycle()).unwrap_or_default())?;
    project.configure(&name, &AgentSettings { protocol, ..settings(args, &entrypoint, folder) })?;
    tell(&project, &name, &entrypoint, existing.is_some());
    if [args.idle_timeout, args.max_lifetime]
        .into_iter()
        .flatten()
        .any(|seconds| seconds < LifecycleBounds::API.min)
    {
        output::note("note: less than 60 seconds is for this host only; AWS's tools refuse the file with it");
    }
    Ok(())
}

/// The name of a protocol that a host serves.
fn served(protocol: Protocol) -> Result<String, Failure> {
    let name = protocol.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    match protocol {
        Protocol::Http => Ok(name),
        Protocol::Mcp | Protocol::A2a | Protocol::Agui => {
            Err(Failure::new(format!("agents that speak {name} are not served yet: a host serves HTTP"))
                .hint(
                    "leave --protocol out if the agent answers POST /invocations and GET /ping; \
                       for AWS alone, configure it with AWS's toolkit",
                ))
        }
    }
}

/// An entrypoint is meant from where the command is given.
fn resolve(text: &str, folder: &Path) -> Result<Entrypoint, Failure> {
    Entrypoint::resolve(text, folder).map_err(|error| {
        let failure = Failure::new(error.to_string());
        match error {
            EntrypointError::Missing(_) => failure.hint("name a file or folder that is there, with -e"),
            _ => failure,
        }
    })
}

fn name_for(entrypoint: &Entrypoint, folder: &Path) -> Result<AgentName, Failure> {
    let relative = relative_to(&entrypoint.path, folder);
    let path = match (entrypoint.kind, relative.as_str()) {
        // A Cargo project right here: its folder's own name says more than a dot.
        (EntrypointKind::Cargo, ".") => folder.file_name().unwrap_or_default().as_ref(),
        _ if entrypoint.path.starts_with(folder) => Path::new(&relative),
        _ => entrypoint.path.file_name().unwrap_or_default().as_ref(),
    };
    AgentName::from_path(path).map_err(|error| Failure::new(error.to_string()).hint("choose a name with -n"))
}

fn check_lifecycle(args: &Args, existing: LifecycleConfiguration) -> Result<(), Failure> {
    let said = said_lifecycle(args);
    let merged = LifecycleConfiguration {
        idle_runtime_session_timeout: said
            .idle_runtime_session_timeout
            .or(existing.idle_runtime_session_timeout),
        max_lifetime: said.max_lifetime.or(existing.max_lifetime),
    };
    merged.resolve(LifecycleBounds::LOCAL).map(drop).map_err(|error| {
        Failure::new(error.to_string())
            .hint("see --idle-timeout and --max-lifetime in `agentcore configure --help`")
    })
}

fn said_lifecycle(args: &Args) -> LifecycleConfiguration {
    LifecycleConfiguration {
        idle_runtime_session_timeout: args.idle_timeout,
        max_lifetime: args.max_lifetime,
    }
}

fn settings(args: &Args, entrypoint: &Entrypoint, folder: &Path) -> AgentSettings {
    let object = entrypoint.object.as_ref().map(|object| format!(":{object}")).unwrap_or_default();
    AgentSettings {
        entrypoint: format!("{}{object}", relative_to(&entrypoint.path, folder)),
        source_path: relative_to(&code_folder(entrypoint, folder), folder),
        kind: Some(entrypoint.kind),
        lifecycle: said_lifecycle(args),
        protocol: None,
        region: args.aws.region.clone(),
        execution_role: args.aws.execution_role.clone(),
        deployment_type: args.aws.deployment_type.clone(),
        runtime_type: args.aws.runtime.clone(),
        disable_otel: args.aws.disable_otel,
    }
}

/// A path as it is written into the file: relative where it can be, so that a project can move.
fn relative_to(path: &Path, folder: &Path) -> String {
    match path.strip_prefix(folder) {
        Ok(relative) if relative.as_os_str().is_empty() => ".".to_owned(),
        Ok(relative) => relative.to_string_lossy().into_owned(),
        Err(_) => path.to_string_lossy().into_owned(),
    }
}

fn tell(project: &Project, name: &AgentName, entrypoint: &Entrypoint, existed: bool) {
    let kind = match entrypoint.kind {
        EntrypointKind::Python => "Python",
        EntrypointKind::Executable => "program",
        EntrypointKind::Cargo => "Cargo project",
    };
    let done = if existed { "Changed" } else { "Configured" };
    output::note(format_args!("{} agent {} ({kind})", styled(GOOD, done), styled(STRONG, name)));
    output::note(format_args!("{}", styled(FAINT, format_args!("  runs  {}", entrypoint.path.display()))));
    output::note(format_args!("{}", styled(FAINT, format_args!("  kept  {}", project.path().display()))));
    output::note("Next: agentcore launch -l");
}

#[derive(serde::Serialize)]
struct Listed {
    name: String,
    default: bool,
    entrypoint: Option<String>,
    session_id: Option<String>,
}

fn list(project: &Project, json: bool) -> anyhow::Result<()> {
    let default = project.default_agent();
    let mut agents = Vec::new();
    for name in project.agent_names() {
        let (name, entry) = project.agent(Some(&name))?;
        let session_id = entry.session_id().map(str::to_owned);
        agents.push(Listed {
            default: Some(&name) == default.as_ref(),
            name,
            entrypoint: entry.entrypoint,
            session_id,
        });
    }
    if json {
        return Ok(output::json(&agents)?);
    }
    let rows = agents.into_iter().map(|agent| {
        let default = if agent.default { "yes" } else { "" }.to_owned();
        [agent.name, default, agent.entrypoint.unwrap_or_default()]
    });
    Ok(output::line(table(["NAME", "DEFAULT", "ENTRYPOINT"], rows))?)
}
