//! The command line: what there is, and how it is written.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    audit, config, configure, destroy, doctor, invoke, keys, launch, logs, results, serve, sessions, status,
    stop_session, tasks,
};

/// Run agents on this machine: sessions that live while they work, and end when they are idle.
///
/// An agent written for Amazon Bedrock AgentCore Runtime runs here unchanged, without an account,
/// a container engine, or a network.
#[derive(Debug, Parser)]
#[command(name = "agentcore", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Global {
    /// Folder of the project [default: this folder, or the nearest above it that is configured]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) project: Option<PathBuf>,
    /// Address of the host [default: the one that runs for the project, else http://127.0.0.1:8080]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "AGENTCORE_ENDPOINT",
        help_heading = "Global options"
    )]
    pub(crate) endpoint: Option<String>,
    /// PEM file with the certificates to trust instead of the system's, for hosts with private ones
    #[arg(long, global = true, value_name = "FILE", env = "AWS_CA_BUNDLE", help_heading = "Global options")]
    pub(crate) ca_bundle: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Configure(configure::Args),
    #[command(visible_alias = "deploy")]
    Launch(launch::Args),
    Serve(serve::Args),
    Invoke(invoke::Args),
    Results(results::Args),
    Tasks(tasks::Args),
    Status(status::Args),
    Sessions(sessions::Args),
    StopSession(stop_session::Args),
    Logs(logs::Args),
    Destroy(destroy::Args),
    Doctor(doctor::Args),
    Keys(keys::Args),
    Audit(audit::Args),
    Config(config::Args),
}

/// Short options of more than one letter, as AWS's toolkit has them, and what they stand for. The
/// parser knows only one-letter ones.
const LONG_SHORTS: &[(&str, &str)] = &[
    ("-bt", "--bearer-token"),
    ("-dm", "--disable-memory"),
    ("-do", "--disable-otel"),
    ("-dt", "--deployment-type"),
    ("-env", "--env"),
    ("-er", "--execution-role"),
    ("-ni", "--non-interactive"),
    ("-rf", "--requirements-file"),
    ("-rt", "--runtime"),
];

/// Replaces the toolkit's short options of more than one letter.
pub(crate) fn spell_out(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut literal = false;
    let mut spell_one = |argument: OsString| {
        literal |= argument == "--";
        let found = LONG_SHORTS.iter().find(|(short, _)| !literal && argument == *short);
        found.map_or(argument, |(_, long)| (*long).into())
    };
    arguments.into_iter().map(&mut spell_one).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn spelled(arguments: &[&str]) -> Vec<String> {
        let spelled = spell_out(arguments.iter().map(OsString::from));
        spelled.into_iter().map(|argument| argument.into_string().unwrap()).collect()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_toolkits_short_options_are_understood() {
        assert_eq!(spelled(&["invoke", "-bt", "t", "-a", "x"]), ["invoke", "--bearer-token", "t", "-a", "x"]);
        assert_eq!(spelled(&["invoke", "--", "-bt"]), ["invoke", "--", "-bt"]);
        for line in [
            "agentcore configure -e a.py -n x -ni -dm -do -er role -dt container -rt PYTHON_3_12 -r us-west-2",
            "agentcore configure list",
            "agentcore deploy -l -a x -env A=B --env C=D",
            "agentcore invoke {} -l -a x -s 0123456789-0123456789-0123456789- -bt t -u me --headers A:1,B:2",
            "agentcore status -v",
            "agentcore destroy --dry-run --force",
        ] {
            Cli::try_parse_from(spelled(&line.split(' ').collect::<Vec<_>>())).unwrap();
        }
    }

    /// `docs/cli.md` is made from the command line itself: `UPDATE_DOCS=1 cargo nextest run -p
    /// agentcore command_reference` writes it anew.
    #[test]
    fn the_command_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let options = clap_markdown::MarkdownOptions::new()
            .title("The agentcore command".to_owned())
            .show_footer(false);
        let text = clap_markdown::help_markdown_custom::<Cli>(&options);
        let text = format!("{}\n", text.trim_end());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == text, "docs/cli.md is not up to date: run this test with UPDATE_DOCS=1");
    }
}
