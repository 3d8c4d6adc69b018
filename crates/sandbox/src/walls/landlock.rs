//! Landlock: what the kernel lets a process do, whatever it can see.
//!
//! Behind the other walls it says the same once more, in another part of the kernel. Where they do not
//! stand, as for an unprivileged user without user namespaces, it alone keeps agents from each other's
//! files, processes and sockets.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};

/// The first version that lets files be moved from one folder to another.
const OLDEST: ABI = ABI::V2;
/// The newest whose rights on files are dealt with here.
const NEWEST: ABI = ABI::V5;

/// What an agent may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Files and folders that it may read and execute.
    pub(crate) read: Vec<PathBuf>,
    /// Files and folders that it may do anything with.
    pub(crate) write: Vec<PathBuf>,
    /// TCP ports that it may listen on. `None`: all.
    pub(crate) listen: Option<Vec<u16>>,
    /// Whether it may connect by TCP, to any port: the kernel knows lists of ports that are allowed and no
    /// others, and all but one would be 65,534 rules for each program.
    pub(crate) connect: bool,
    /// Whether it may signal whom it sees. Where it sees only its own session it may: commands signal
    /// their agent, and each program's restrictions are its own.
    pub(crate) signal: bool,
}

impl Grant {
    /// Restricts this process, and all that it will start, to this. What the kernel is too old for is
    /// left out.
    pub(crate) fn restrict(&self) -> io::Result<()> {
        let status = self.try_restrict().map_err(io::Error::other)?;
        if status == RulesetStatus::NotEnforced { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
    }

    fn try_restrict(&self) -> Result<RulesetStatus, landlock::RulesetError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(OLDEST))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .scope(Scope::AbstractUnixSocket)?;
        if !self.signal {
            rules = rules.scope(Scope::Signal)?;
        }
        if self.listen.is_some() {
            rules = rules.handle_access(AccessNet::BindTcp)?;
        }
        if !self.connect {
            rules = rules.handle_access(AccessNet::ConnectTcp)?;
        }
        let ports = self.listen.iter().flatten().map(|port| Ok(NetPort::new(*port, AccessNet::BindTcp)));
        let created = rules
            .create()?
            .add_rules(path_beneath_rules(&self.read, AccessFs::from_read(NEWEST)))?
            .add_rules(path_beneath_rules(&self.write, AccessFs::from_all(NEWEST)))?
            .add_rules(ports.collect::<Vec<Result<NetPort, landlock::RulesetError>>>())?;
        Ok(created.restrict_self()?.ruleset)
    }
}
