//! `agentcore keys`: who may sign requests to a host, and for what.

use std::env;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agentcore_auth::keys::{KeyRecord, KeyStore, MASTER_KEY_VARIABLE};
use agentcore_auth::{ALL_AGENTS, Agents, Rights};
use agentcore_protocol::{Clock, SystemClock};
use agentcore_runtime::audit::{self, AuditRecord};
use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;

use crate::config::state;
use crate::failure::Failure;
use crate::output::table::{pairs, table};
use crate::output::time::moment;
use crate::output::{self, GOOD, styled};

/// Make, list and take back access keys: what AWS's clients sign requests with.
///
/// A host that runs on the same state folder goes by them at once. Their secrets are encrypted under
/// a master key: that of AGENTCORE_MASTER_KEY (32 bytes in base64), else one in the state folder.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: KeysCommand,
    /// Folder of the host's state [default: that of `serve`]
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key; its secret is shown this once
    Create {
        /// Lets it invoke this agent, or `*`: every agent
        #[arg(long, value_name = "AGENT")]
        invoke: Vec<String>,
        /// Lets it create, update and delete this agent, or `*`: every agent
        #[arg(long, value_name = "AGENT")]
        administer: Vec<String>,
        /// Lets it do everything, in everybody's sessions
        #[arg(long)]
        operator: bool,
        /// Whose it is: keys of one owner reach the same sessions [default: nobody else's]
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the keys, without their secrets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a key back: requests that are signed with it are refused from now on
    Revoke {
        /// The id of the key
        id: String,
    },
}

/// A new key, as scripts read it.
#[derive(Debug, Serialize)]
struct Made<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    owner: &'a str,
    rights: &'a Rights,
}

/// Does it, in the files of the state folder: no host need run.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let state = state_folder(args)?;
    let store = store(&state)?;
    match &args.command {
        KeysCommand::Create { invoke, administer, operator, owner, json } => {
            let rights =
                Rights { invoke: agents(invoke), administer: agents(administer), operator: *operator };
            create(&store, &state, owner.as_deref(), rights, *json)?;
        }
        KeysCommand::List { json: true } => output::json(&store.list()?)?,
        KeysCommand::List { json: false } => output::line(listed(&store.list()?))?,
        KeysCommand::Revoke { id } => {
            store.revoke(id)?;
            put_on_record(&state, "RevokeAccessKey", id)?;
            output::note(format_args!("{} access key {id} is revoked", styled(GOOD, "done:")));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn state_folder(args: &Args) -> Result<PathBuf, Failure> {
    args.state.clone().or_else(state::of_server).ok_or_else(|| {
        Failure::new("there is no home folder").hint("name the folder of the host's state with --state")
    })
}

/// Puts into the audit log who made or took back a key: whoever is at this shell.
fn put_on_record(state: &Path, action: &'static str, key: &str) -> anyhow::Result<()> {
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    let user = user.map_or_else(|| uid.to_string(), |user| user.name);
    let record = AuditRecord {
        time: SystemClock.now(),
        principal: Some(format!("shell:{user}")),
        action: action.into(),
        about_key: Some(key.to_owned()),
        ..AuditRecord::default()
    };
    audit::append(state, &record).context("it is done, but the audit log cannot be written")
}

fn store(state: &Path) -> anyhow::Result<KeyStore> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(state);
    made.with_context(|| format!("cannot make {}", state.display()))?;
    let master = match env::var(MASTER_KEY_VARIABLE) {
        Ok(text) => Some(text),
        Err(env::VarError::NotPresent) => None,
        Err(env::VarError::NotUnicode(_)) => Some(String::new()),
    };
    Ok(KeyStore::open(state, master)?)
}

fn create(
    store: &KeyStore,
    state: &Path,
    owner: Option<&str>,
    rights: Rights,
    json: bool,
) -> anyhow::Result<()> {
    if rights.is_empty() {
        let hint = "say what for: --invoke AGENT, --administer AGENT or --operator";
        return Err(Failure::new("an access key needs at least one right").hint(hint).into());
    }
    let key = store.create(owner, rights, SystemClock.now())?;
    put_on_record(state, "CreateAccessKey", &key.record().id)?;
    let (record, secret) = (key.record(), key.secret().expose());
    if json {
        return Ok(output::json(&Made {
            access_key_id: &record.id,
            secret_access_key: secret,
            owner: &record.owner,
            rights: &record.rights,
        })?);
    }
    output::line(pairs([
        ("AWS_ACCESS_KEY_ID", record.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("Allows", allowed(&record.rights)),
    ]))?;
    output::note("Keep the secret now: nothing shows it again.");
    Ok(())
}

fn agents(names: &[String]) -> Agents {
    names.iter().collect()
}

fn listed(records: &[KeyRecord]) -> String {
    let rows = records.iter().map(|record| {
        [record.id.clone(), record.owner.clone(), moment(record.created_at), allowed(&record.rights)]
    });
    table(["ACCESS KEY", "OWNER", "CREATED", "ALLOWS"], rows)
}

/// What a key allows, in a few words.
fn allowed(rights: &Rights) -> String {
    if rights.operator {
        return "everything".to_owned();
    }
    let about = |verb: &str, agents: &Agents| match agents.include(ALL_AGENTS) {
        true => format!("{verb} every agent"),
        false => format!("{verb} {}", agents.names().collect::<Vec<_>>().join(", ")),
    };
    let parts = [("invoke", &rights.invoke), ("administer", &rights.administer)];
    let parts = parts.iter().filter(|(_, agents)| !agents.is_empty());
    parts.map(|(verb, agents)| about(verb, agents)).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_told_in_a_few_words() {
        assert_eq!(allowed(&Rights::operator()), "everything");
        let both = Rights { administer: Agents::all(), ..Rights::invoke(["b", "a"]) };
        assert_eq!(allowed(&both), "invoke a, b; administer every agent");
    }
}
