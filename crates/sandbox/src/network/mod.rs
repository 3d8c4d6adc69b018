//! What a session reaches of the network.
//!
//! A session that is not on the host's own network has a network namespace of its own, with a
//! [`filter`] in it from the beginning. If it is to reach the outside, it is joined to the host by a
//! [link](veth), for which the host becomes its [router], or, where the host may not make links, by
//! the program [pasta].
//!
//! | step | who | when |
//! |---|---|---|
//! | [`Outside::prepare`] | init | before there is a namespace |
//! | [`Outside::close_inside`] | the session's first process | in its namespace, while it may still change it |
//! | [`Outside::join`] | init | after that, before the agent's program starts |

mod addresses;
mod filter;
mod links;
mod netlink;
mod pasta;
mod router;
mod rules;
mod veth;

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

/// What a session reaches of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Nothing but itself.
    None,
    /// The outside, but neither this machine nor other sessions nor link-local addresses.
    Egress,
    /// What this machine reaches, itself included.
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
#[error("links between sessions and this machine cannot be made ({0}), and there is no program `pasta`")]
pub struct NoEgress(io::Error);

impl Way {
    /// The way that is open here, to this user.
    pub(crate) fn find() -> Result<Self, NoEgress> {
        match router::ensure() {
            Ok(()) => Ok(Self::Link),
            Err(error) => pasta::find().map(Self::Pasta).ok_or(NoEgress(error)),
        }
    }
}

/// The network of a session that is not on the host's own.
pub(crate) struct Outside {
    way: Option<Way>,
    this_machine: Vec<Ipv4Addr>,
}

impl Outside {
    /// Finds out what it takes. `None`: nothing, the session stays on the host's network.
    pub(crate) fn prepare(mode: NetworkMode) -> io::Result<Option<Self>> {
        let way = match mode {
            NetworkMode::Host => return Ok(None),
            NetworkMode::None => None,
            NetworkMode::Egress => Some(Way::find().map_err(io::Error::other)?),
        };
        let this_machine = if way.is_some() { addresses::of_this_machine()? } else { Vec::new() };
        Ok(Some(Self { way, this_machine }))
    }

    /// In the session's new network namespace: its loopback comes up, and what it may not reach is
    /// closed.
    pub(crate) fn close_inside(&self) -> io::Result<()> {
        links::Links::open()?.bring_up("lo")?;
        if self.way.is_some() { filter::install(&self.this_machine) } else { Ok(()) }
    }

    /// In the host's namespaces: joins the namespaces of the process `session` to the outside.
    /// `folder` is the incarnation's.
    pub(crate) fn join(&self, session: i32, folder: &Path) -> io::Result<()> {
        match &self.way {
            None => Ok(()),
            Some(Way::Link) => veth::join(File::open(format!("/proc/{session}/ns/net"))?.as_fd()),
            Some(Way::Pasta(program)) => pasta::join(program, folder, session),
        }
    }
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
