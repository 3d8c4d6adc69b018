//! What a session reaches of the network.
//!
//! A session that is not on the host's own network has a network namespace of its own, with a
//! [`filter`] in it from the beginning. If it is to reach the outside, it is joined to the host by a
//! [link](veth), for which the host becomes its [router], or, where the host may not make links, by
//! the program [pasta].
//!
//! | step | who | when |
//! |---|---|---|
//! | [`Network::plan`] | init | before there is a namespace |
//! | [`Network::outside`] | init | while the inner process builds what is inside, or, with [pasta], waits |
//! | [`Network::inside`] | the inner process | while it has all rights over its namespace |
//!
//! Nothing of an agent's runs before all of it is done.

mod addresses;
mod filter;
mod links;
mod netlink;
mod pasta;
mod router;
mod rules;
mod veth;
mod watch;

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

pub(crate) use watch::AddressWatch;

/// What an agent reaches of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Nothing but itself.
    None,
    /// The outside, but neither this machine nor other sessions nor link-local addresses.
    Egress,
    /// What this machine reaches, itself included.
    #[default]
    Host,
}

/// How a session gets outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// A link to the host, which passes its packets on.
    Link,
    /// This program.
    Pasta(PathBuf),
}

/// Why no session can be let outside in a network namespace of its own.
#[derive(Debug, thiserror::Error)]
#[error("links between sessions and this machine cannot be made ({link}), and the program `pasta` {pasta}")]
pub(crate) struct NoEgress {
    link: io::Error,
    pasta: String,
}

impl Way {
    /// The way that is open here, to this user. Nothing is changed for it.
    pub(crate) fn find() -> Result<Self, NoEgress> {
        let Err(link) = router::is_possible() else { return Ok(Self::Link) };
        match pasta::find() {
            Ok(program) => Ok(Self::Pasta(program)),
            Err(pasta) => Err(NoEgress { link, pasta }),
        }
    }
}

/// The network of a session that has one of its own.
#[derive(Debug)]
pub(crate) struct Network {
    way: Option<Way>,
    is_filtered: bool,
    this_machine: Vec<Ipv4Addr>,
    folder: PathBuf,
}

impl Network {
    /// Finds out what it takes for the session in `folder`. `None`: nothing, it stays on the host's
    /// network.
    pub(crate) fn plan(mode: NetworkMode, folder: &Path) -> io::Result<Option<Self>> {
        let way = match mode {
            NetworkMode::Host => return Ok(None),
            NetworkMode::None => None,
            NetworkMode::Egress => Some(Way::find().map_err(io::Error::other)?),
        };
        if way == Some(Way::Link) {
            router::ensure()?;
        }
        let this_machine = if way.is_some() { addresses::of_this_machine()? } else { Vec::new() };
        Ok(Some(Self { is_filtered: way.is_some(), way, this_machine, folder: folder.to_owned() }))
    }

    /// The same as for egress, without joining anything to anything: to find out whether it can be.
    ///
    /// # Errors
    /// There is no way outside for a session with a network of its own.
    pub(crate) fn rehearse() -> Result<Self, NoEgress> {
        Way::find()?;
        Ok(Self { way: None, is_filtered: true, this_machine: Vec::new(), folder: PathBuf::new() })
    }

    /// Whether a session that was planned so would have the same network as this.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.way == other.way
            && self.is_filtered == other.is_filtered
            && self.this_machine == other.this_machine
    }

    /// Whether the inner process has to wait for [`outside`](Self::outside): it may still be looked into
    /// then, as pasta does.
    pub(crate) fn is_joined_first(&self) -> bool {
        matches!(self.way, Some(Way::Pasta(_)))
    }

    /// What init does, outside and with its own rights: joins the namespaces of the inner process, one
    /// of which is `network`, to the outside.
    pub(crate) fn outside(&self, inner: Pid, network: BorrowedFd<'_>) -> io::Result<()> {
        match &self.way {
            None => Ok(()),
            Some(Way::Link) => veth::join(network),
            Some(Way::Pasta(program)) => pasta::join(program, &self.folder, inner),
        }
    }

    /// Listens for addresses that this machine gets, if only the filter inside keeps the session from
    /// them. With a link the machine's own does, whatever its addresses are.
    pub(crate) fn watch_addresses(&self) -> io::Result<Option<AddressWatch>> {
        match self.way {
            Some(Way::Pasta(_)) => AddressWatch::begin(&self.this_machine).map(Some),
            Some(Way::Link) | None => Ok(None),
        }
    }

    /// What the inner process does in its namespace: loopback comes up, and what the session may not
    /// reach is closed.
    pub(crate) fn inside(&self) -> io::Result<()> {
        links::Links::open()?.bring_up("lo")?;
        if self.is_filtered { filter::install(&self.this_machine) } else { Ok(()) }
    }
}

/// Closes these addresses of this machine to the session in whose network namespace this process is,
/// instead of those before.
pub(crate) fn close_to_session(this_machine: &[Ipv4Addr]) -> io::Result<()> {
    filter::renew(this_machine)
}

/// Does something in another network namespace, on this thread.
pub(crate) fn within<T>(namespace: BorrowedFd<'_>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let here = File::open("/proc/thread-self/ns/net")?;
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    let done = act();
    // Whoever cannot come back must not go on as if they had.
    setns(here, CloneFlags::CLONE_NEWNET)?;
    done
}

#[cfg(test)]
mod tests;
