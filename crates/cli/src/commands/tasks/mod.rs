//! `agentcore tasks`: the background work of agents.

mod show;
mod wait;

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use http::Method;

use super::verdict::EXIT_CODES;
use crate::client::work::{Task, Tasks};
use crate::client::{ClientError, HostClient, escape};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// List the background tasks of agents, show one, wait for it, cancel or delete it.
///
/// Tasks are on record while they run and after their session has ended. A task is named by its id;
/// should two sessions have one of the same id, as INCARNATION/ID.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: TasksCommand,
}

#[derive(Debug, Subcommand)]
enum TasksCommand {
    /// List tasks, newest first
    List {
        /// Only tasks of this agent
        #[arg(short, long)]
        agent: Option<String>,
        /// Only tasks of this session
        #[arg(short, long, value_name = "ID")]
        session_id: Option<String>,
        /// Only tasks of this status
        #[arg(long)]
        status: Option<StatusFilter>,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a task: its progress, its result, or why it has none
    Show {
        /// The task
        task: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Wait until a task has ended, and print its result
    #[command(after_help = EXIT_CODES)]
    Wait {
        /// The task
        task: String,
        /// Wait no longer than this
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<f64>,
        /// Print all that is known of the task as JSON, instead of its result
        #[arg(long)]
        json: bool,
    },
    /// Ask a task to end
    Cancel {
        /// The task
        task: String,
    },
    /// Delete what is on record of a task that has ended
    Delete {
        /// The task
        task: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StatusFilter {
    Running,
    Completed,
    Failed,
    Cancelled,
    Lost,
}

/// Lists tasks, or does something about one.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let client = context.host();
    match &args.command {
        TasksCommand::List { agent, session_id, status, limit, json } => {
            let status = status.and_then(|status| status.to_possible_value());
            let limit = limit.map(|limit| limit.to_string());
            let query = [
                ("agent", agent.as_deref()),
                ("session", session_id.as_deref()),
                ("status", status.as_ref().map(|value| value.get_name())),
                ("limit", limit.as_deref()),
            ];
            let Tasks { tasks } = client.get("/tasks", &query).await?;
            if *json { output::json(&tasks)? } else { show::list(&tasks, context.now())? }
        }
        TasksCommand::Show { task, json } => {
            let task = find(&client, task).await?;
            if *json { output::json(&task)? } else { output::line(show::page(&task, context.now()))? }
        }
        TasksCommand::Wait { task, timeout, json } => {
            let task = find(&client, task).await?;
            return wait::run(task, *timeout, *json, context).await;
        }
        TasksCommand::Cancel { task } => cancel(&client, &find(&client, task).await?).await?,
        TasksCommand::Delete { task } => {
            let task = find(&client, task).await?;
            client.act(Method::DELETE, &task.path(), &[]).await?;
            output::note(format_args!("Task {} is deleted.", task.task_id));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The task of that name: `ID`, or `INCARNATION/ID`.
async fn find(client: &HostClient, name: &str) -> anyhow::Result<Task> {
    let unknown = || {
        Failure::new(format!("there is no task {name:?} on record"))
            .hint("`agentcore tasks list` has those there are; the oldest of ended sessions are forgotten")
    };
    if let Some((incarnation, task)) = name.split_once('/') {
        let path = format!("/tasks/{}/{}", escape(incarnation), escape(task));
        return client.get(&path, &[]).await.map_err(|error: ClientError| {
            if error.is_not_found() { unknown().into() } else { error.into() }
        });
    }
    if name.parse::<u64>().is_err() {
        let failure = Failure::new(format!("{name:?} names no task"));
        return Err(failure.hint("give its id, a whole number, or INCARNATION/ID").into());
    }
    let Tasks { tasks } = client.get("/tasks", &[("task_id", Some(name)), ("limit", Some("1"))]).await?;
    tasks.into_iter().next().ok_or_else(|| unknown().into())
}

async fn cancel(client: &HostClient, task: &Task) -> anyhow::Result<()> {
    client.act(Method::POST, &format!("{}/cancel", task.path()), &[]).await?;
    output::note(format_args!(
        "The agent was told. Task {} ends when its code does: `agentcore tasks wait {0}`",
        task.task_id
    ));
    Ok(())
}
