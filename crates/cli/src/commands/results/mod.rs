//! `agentcore results`: what came of invocations that their callers did not wait for.

mod follow;
mod list;

use std::process::ExitCode;

use agentcore_protocol::Timestamp;
use http::Method;

use super::answer;
use super::verdict::{EXIT_CODES, Verdict};
use crate::client::patience::persistently;
use crate::client::work::{Invocation, Invocations};
use crate::client::{ClientError, HostClient, escape};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, progress::Waiting};

/// How long, in seconds, one question waits for an end.
const WAIT: &str = "60";

/// Read the answer to an invocation made with `invoke --async`, or list the latest ones.
///
/// The answer alone goes to standard output, as the agent gave it; a stream is printed item by item.
/// It can be read after the session has ended, and after the host was restarted.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The invocation [default: list the latest]
    id: Option<String>,
    /// Wait until it has ended
    #[arg(short, long, requires = "id")]
    wait: bool,
    /// Print a stream from its beginning, and further items as they come
    #[arg(short, long, requires = "id", conflicts_with = "json")]
    follow: bool,
    /// Cancel it: the agent sees its client leave
    #[arg(long, requires = "id", conflicts_with_all = ["wait", "follow"])]
    cancel: bool,
    /// Delete it with its answer, once it has ended
    #[arg(long, requires = "id", conflicts_with_all = ["wait", "follow", "cancel", "json"])]
    delete: bool,
    /// Print what is known of it, instead of its answer, as JSON
    #[arg(long)]
    json: bool,
    /// List only invocations of this agent
    #[arg(short, long, conflicts_with = "id")]
    agent: Option<String>,
    /// List only invocations of this session
    #[arg(short, long, value_name = "ID", conflicts_with = "id")]
    session_id: Option<String>,
    /// List at most so many
    #[arg(long, value_name = "N", conflicts_with = "id")]
    limit: Option<u32>,
}

/// Reads, follows, cancels or deletes an invocation, or lists the latest.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let client = context.host();
    let Some(id) = &args.id else { return list_latest(args, &client, context.now()).await };
    let path = format!("/invocations/{}", escape(id));
    if args.cancel {
        return cancel(&client, &path, id).await;
    }
    if args.delete {
        client.act(Method::DELETE, &path, &[]).await.map_err(|error| explain(error, id))?;
        output::note(format_args!("Invocation {id} is deleted."));
        return Ok(ExitCode::SUCCESS);
    }
    let mut found: Invocation = client.get(&path, &[]).await.map_err(|error| explain(error, id))?;
    if args.follow {
        return follow::run(&path, context).await;
    }
    if args.wait {
        let _waiting = Waiting::for_what("waiting for the end of the invocation");
        while !found.is_over() {
            found = persistently(context, async |client| client.get(&path, &[("wait", Some(WAIT))]).await)
                .await?;
        }
    }
    if args.json {
        output::json(&found)?;
        return Ok(Verdict::of(&found.state).code());
    }
    if found.is_over() {
        print_answer(&path, &found, context).await?;
    }
    Ok(end(&found))
}

async fn cancel(client: &HostClient, path: &str, id: &str) -> anyhow::Result<ExitCode> {
    let told = client.act(Method::POST, &format!("{path}/cancel"), &[]).await;
    let found: Invocation = serde_json::from_slice(&told.map_err(|error| explain(error, id))?)?;
    if found.is_over() {
        output::note(format_args!("Invocation {id} is cancelled."));
    } else {
        output::note(format_args!("Invocation {id} is being cancelled: `agentcore results {id} --wait`"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The answer, if there is one, as the agent gave it.
async fn print_answer(path: &str, found: &Invocation, context: &Context) -> anyhow::Result<()> {
    if found.answer.is_none() {
        return Ok(());
    }
    let client = context.host();
    let request = client.own_request(Method::GET, &format!("{path}/answer"), &[])?;
    let hint = answer::logs_hint(Some(&found.agent), Some(&found.session_id));
    answer::print(client.send(request).await?, Some(hint)).await
}

/// Tells what came of it, unless all is well.
fn end(found: &Invocation) -> ExitCode {
    let verdict = Verdict::of(&found.state);
    let Invocation { id, state, session_id, .. } = found;
    let reason = found.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let failure = match verdict {
        Verdict::Completed => return verdict.code(),
        Verdict::NotYet => Failure::new(format!("the invocation is {state}, and has not ended"))
            .hint(format!("wait for it with `agentcore results {id} --wait`")),
        Verdict::Lost => Failure::new(format!("the invocation was {state}{reason}"))
            .hint(format!("`agentcore sessions show {session_id}` tells what became of the session; nobody runs it again by itself")),
        Verdict::Failed => {
            let was = if state == "cancelled" { "was cancelled" } else { "failed" };
            // The status of an answer that broke off says nothing of how it ended.
            let whole = found.answer.as_ref().filter(|answer| answer.complete);
            let status = whole.map(|answer| format!(", with HTTP status {}", answer.status));
            Failure::new(format!("the invocation {was}{}{reason}", status.unwrap_or_default()))
        }
    };
    verdict.told(failure)
}

async fn list_latest(args: &Args, client: &HostClient, now: Timestamp) -> anyhow::Result<ExitCode> {
    let limit = args.limit.unwrap_or(20).to_string();
    let query = [
        ("agent", args.agent.as_deref()),
        ("session", args.session_id.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let Invocations { invocations } = client.get("/invocations", &query).await?;
    if args.json {
        output::json(&invocations)?;
    } else {
        list::print(&invocations, now)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(error: ClientError, id: &str) -> anyhow::Error {
    if !error.is_not_found() {
        return error.into();
    }
    Failure::new(format!("there is no invocation {id:?} on record"))
        .hint("`agentcore results` lists those there are; the oldest are forgotten")
        .into()
}
