//! The walls between sessions, and what is asked of them.

use std::env;
use std::ffi::OsString;

use agentcore_runtime::{AgentDefinition, HostOptions};
use agentcore_sandbox::{Missing, NetworkMode, ProcessOptions, Wall, WallReport};
use anyhow::Context as _;
use clap::ValueEnum;

use crate::failure::Failure;

/// Name of the hidden subcommand that runs as the init of a sandbox.
pub(crate) const INIT_COMMAND: &str = "__init";

/// What it means to share the machine's network.
const SHARED: &str =
    "these sessions share this machine's network, where they reach its loopback and each other's ports";

/// What is asked of the walls between sessions.
#[derive(Debug, clap::Args)]
pub(super) struct WallArgs {
    /// What agents reach of the network, unless they say it themselves [default: egress where this machine
    /// can, else host]
    #[arg(long, value_name = "MODE")]
    network: Option<Network>,
    /// Do not run unless every wall between sessions stands (`agentcore doctor` explains)
    #[arg(long)]
    require_walls: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Network {
    /// Nothing but itself
    None,
    /// The outside, but neither this machine nor other sessions nor link-local addresses
    Egress,
    /// What this machine reaches, itself included
    Host,
}

impl WallArgs {
    /// Puts what is asked before the options, and refuses what this machine cannot do.
    pub(super) fn apply(&self, options: &mut HostOptions, report: &WallReport) -> Result<(), Failure> {
        let hint = || format!("{}. `agentcore doctor` tells what each wall is for", advice_on(report));
        options.require_walls |= self.require_walls;
        if options.require_walls && !report.is_complete() {
            return Err(Failure::new(format!("not all walls stand: {report}")).hint(hint()));
        }
        let can = report.standing.contains(&Wall::Network);
        options.network = self.network.map(NetworkMode::from).or(options.network);
        let default = options.network.unwrap_or(if can { NetworkMode::Egress } else { NetworkMode::Host });
        let modes: Vec<_> =
            options.agents.iter().filter_map(|agent| agent.network).chain([default]).collect();
        if options.require_walls && modes.contains(&NetworkMode::Host) {
            let message = "agents share this machine's network, which is no wall";
            return Err(Failure::new(message).hint("choose --network egress or --network none"));
        }
        if modes.iter().any(|mode| *mode != NetworkMode::Host) && !can {
            return Err(Failure::new("agents cannot have networks of their own here").hint(hint()));
        }
        if options.network.is_none() && !can {
            tracing::warn!("{}", shared_network(report));
        }
        Ok(())
    }
}

impl From<Network> for NetworkMode {
    fn from(mode: Network) -> Self {
        match mode {
            Network::None => Self::None,
            Network::Egress => Self::Egress,
            Network::Host => Self::Host,
        }
    }
}

/// Finds out which walls stand on this machine, and says so.
pub(super) async fn look_at(sandboxes: &ProcessOptions) -> anyhow::Result<WallReport> {
    let looking = sandboxes.clone();
    let report = tokio::task::spawn_blocking(move || looking.probe()).await;
    let report =
        report.context("the look at the walls was cut short")?.context("cannot look at the walls")?;
    Ok(report)
}

/// Says in the log which walls stand around the sessions of a host.
pub(super) fn tell(report: &WallReport, options: &HostOptions) {
    let standing = standing(report, options.network);
    tracing::info!("walls between sessions: {standing}");
    let of_its_own = |agent: &&AgentDefinition| agent.network == Some(NetworkMode::Host);
    let sharing: Vec<&str> = options.agents.iter().filter(of_its_own).map(|agent| &*agent.name).collect();
    if !sharing.is_empty() && options.network != Some(NetworkMode::Host) {
        tracing::warn!(agents = sharing.join(", "), "{SHARED}");
    }
}

/// The walls that stand around sessions of this network, which is none of them where it is shared.
fn standing(report: &WallReport, network: Option<NetworkMode>) -> WallReport {
    let mut standing = report.clone();
    if network == Some(NetworkMode::Host) && standing.standing.remove(&Wall::Network) {
        standing.missing.push(Missing { wall: Wall::Network, reason: SHARED.to_owned() });
    }
    standing
}

/// What agents reach where that is not as it should be, why, and how it is mended.
fn shared_network(report: &WallReport) -> String {
    let missing = report.missing.iter().find(|missing| missing.wall == Wall::Network);
    let why = missing.map_or("the wall is not there", |missing| &missing.reason);
    let how = advice(Wall::Network);
    format!(
        "agents share this machine's network and reach its loopback: {why}; {how}. (--network host: it is meant so)"
    )
}

/// What an agent can do where a wall does not stand.
pub(super) fn without(wall: Wall) -> &'static str {
    match wall {
        Wall::User => "agents are the user that the host is",
        Wall::Pid => "they see and signal other processes",
        Wall::Mount => "they read and write the files that this user can",
        Wall::Ipc => "they share the machine's shared memory",
        Wall::Uts => "they learn the machine's name",
        Wall::Cgroup => "they see the machine's control groups",
        Wall::Network => "they reach this machine's loopback and each other's ports",
        Wall::Capabilities => "they keep the privileges that this user has",
        Wall::Seccomp => "all of the kernel's calls are open to them",
        Wall::Landlock => "nothing but the other walls guards files and signals",
    }
}

/// How to get the walls that do not stand, each way once.
pub(super) fn advice_on(report: &WallReport) -> String {
    let has_namespaces = report.standing.contains(&Wall::User);
    // Without namespaces there are no networks of one's own either, whatever else there is.
    let cause = |wall| if wall == Wall::Network && !has_namespaces { Wall::User } else { wall };
    let mut ways: Vec<&str> = Vec::new();
    for missing in &report.missing {
        let way = advice(cause(missing.wall));
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    ways.join("; ")
}

fn advice(wall: Wall) -> &'static str {
    match wall {
        Wall::Network => {
            "for networks of their own run the host as root, or install `pasta` (package passt) and let everybody \
             write /dev/net/tun (chmod 666)"
        }
        Wall::Capabilities | Wall::Seccomp => "use a kernel with seccomp filters (CONFIG_SECCOMP_FILTER)",
        Wall::Landlock => "use Linux 6.12 or newer with Landlock (lsm=landlock,...)",
        Wall::User | Wall::Pid | Wall::Mount | Wall::Ipc | Wall::Uts | Wall::Cgroup => {
            "allow namespaces to users: sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), \
             kernel.unprivileged_userns_clone=1 (Debian), user.max_user_namespaces high enough (\"No space left \
             on device\" is this one); in a container, run the host outside or with --security-opt \
             seccomp=unconfined"
        }
    }
}

/// Sandboxes whose init is this program.
pub(super) fn sandboxes() -> anyhow::Result<ProcessOptions> {
    let program = env::current_exe().context("cannot find this program")?;
    let options = ProcessOptions::new(vec![program.into_os_string(), OsString::from(INIT_COMMAND)]);
    Ok(ProcessOptions { one_init_ready: true, ..options })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with every wall, or with all but networks.
    fn machine(has_networks: bool) -> WallReport {
        let is_there = |wall: &Wall| has_networks || *wall != Wall::Network;
        let missing = [Missing { wall: Wall::Network, reason: "there is no pasta".to_owned() }];
        WallReport {
            standing: Wall::ALL.into_iter().filter(is_there).collect(),
            missing: missing.into_iter().filter(|_| !has_networks).collect(),
        }
    }

    fn applied(
        network: Option<Network>,
        options: &mut HostOptions,
        has_networks: bool,
    ) -> Result<(), String> {
        let asked = WallArgs { network, require_walls: false };
        asked.apply(options, &machine(has_networks)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_command_line_goes_before_the_file_and_nothing_is_made_up() {
        for (said, in_file, becomes) in [
            (None, None, None),
            (None, Some(NetworkMode::None), Some(NetworkMode::None)),
            (Some(Network::Host), Some(NetworkMode::None), Some(NetworkMode::Host)),
        ] {
            let mut options = HostOptions::new("/tmp/x");
            options.network = in_file;
            applied(said, &mut options, true).unwrap();
            assert_eq!(options.network, becomes);
        }
    }

    #[test]
    fn a_machine_without_networks_serves_unless_one_is_asked_for() {
        applied(None, &mut HostOptions::new("/tmp/x"), false).unwrap();
        assert!(applied(Some(Network::Egress), &mut HostOptions::new("/tmp/x"), false).is_err());
        let mut options = HostOptions::new("/tmp/x");
        options.agents.push(AgentDefinition::new("writer", "/bin/writer", "/"));
        options.agents[0].network = Some(NetworkMode::None);
        assert!(applied(None, &mut options, false).is_err());
    }

    #[test]
    fn every_wall_is_not_there_where_the_network_is_shared() {
        let asked = WallArgs { network: None, require_walls: true };
        asked.apply(&mut HostOptions::new("/tmp/x"), &machine(true)).unwrap();
        let shared = WallArgs { network: Some(Network::Host), require_walls: true };
        for (asked, has_networks) in [(&asked, false), (&shared, true)] {
            assert!(asked.apply(&mut HostOptions::new("/tmp/x"), &machine(has_networks)).is_err());
        }
    }

    #[test]
    fn a_network_that_is_shared_is_not_said_to_stand() {
        for (mode, stands) in
            [(None, true), (Some(NetworkMode::None), true), (Some(NetworkMode::Host), false)]
        {
            let told = standing(&machine(true), mode);
            assert_eq!((told.standing.contains(&Wall::Network), told.missing.is_empty()), (stands, stands));
            assert_eq!(
                told.to_string().contains("network does not: these sessions share"),
                !stands,
                "{told}"
            );
        }
    }

    #[test]
    fn a_host_can_be_told_in_its_file_to_require_every_wall() {
        let mut options = HostOptions::new("/tmp/x");
        options.require_walls = true;
        assert!(applied(None, &mut options, false).is_err());
        assert!(applied(Some(Network::Host), &mut options, true).is_err());
        WallArgs { network: None, require_walls: true }
            .apply(&mut HostOptions::new("/tmp/x"), &machine(true))
            .unwrap();
    }

    #[test]
    fn who_shares_the_network_is_told_why_and_what_to_do() {
        let told = shared_network(&machine(false));
        for words in ["reach its loopback", "there is no pasta", "install `pasta`", "--network host"] {
            assert!(told.contains(words), "{told}");
        }
    }
}
