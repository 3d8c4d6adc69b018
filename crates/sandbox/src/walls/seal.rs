//! The last walls, which every program puts up around itself just before it is executed.

use std::io;
use std::path::PathBuf;

use agentcore_protocol::agent::DEFAULT_PORT;

use super::landlock::Grant;
use super::seccomp::Filters;
use super::{NetworkMode, Wall, Walls, privileges, root};
use crate::folder::IncarnationFolder;
use crate::wire::{InStep, Order, Step, StepError};

/// What is taken from a program for good.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seal {
    privileges: bool,
    grant: Option<Grant>,
    filters: Option<Filters>,
}

impl Seal {
    /// The seal of this order's programs, one of whose ports is `port`.
    pub(crate) fn of(order: &Order, folder: &IncarnationFolder, port: u16) -> io::Result<Self> {
        let walls = &order.walls;
        let grant = match walls.contains(&Wall::Landlock) {
            true => Some(grant(order, folder, port)?),
            false => None,
        };
        Ok(Self { grant, ..Self::of_inner(walls)? })
    }

    /// The seal of the inner process, which opens no files.
    pub(crate) fn of_inner(walls: &Walls) -> io::Result<Self> {
        let filters = walls.contains(&Wall::Seccomp).then(Filters::compile).transpose()?;
        Ok(Self { privileges: walls.contains(&Wall::Capabilities), grant: None, filters })
    }

    /// Seals the calling process. Its descriptors and its working folder are not touched.
    pub(crate) fn close(&self) -> Result<(), StepError> {
        if self.privileges {
            privileges::give_up().in_step(Step::GiveUpPrivileges)?;
        }
        if let Some(grant) = &self.grant {
            grant.restrict().in_step(Step::RestrictAccess)?;
        }
        if let Some(filters) = &self.filters {
            filters.put_up().in_step(Step::FilterSystemCalls)?;
        }
        Ok(())
    }
}

fn grant(order: &Order, folder: &IncarnationFolder, port: u16) -> io::Result<Grant> {
    let own = || folder.own().into_iter().chain([folder.socket()]);
    let with = |paths: &[&str]| own().chain(paths.iter().map(PathBuf::from)).collect();
    let (read, write) = if order.walls.contains(&Wall::Mount) {
        // What is in the root is meant to be read.
        (vec![PathBuf::from("/")], with(&["/tmp", "/dev", "/proc"]))
    } else {
        let mut read = root::Plan::of(order, folder)?.readable();
        read.extend(["/proc", "/dev"].map(PathBuf::from));
        // The machine's temporary folder is everybody's; TMPDIR names the agent's own.
        (read, with(&["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/pts", "/dev/ptmx"]))
    };
    let listen = listens_on(order.network, port);
    let connect = order.network != NetworkMode::None;
    Ok(Grant { read, write, listen, connect, signal: order.walls.contains(&Wall::Pid) })
}

// On the host's own network, a port that an agent has no business with may be somebody else's next.
// Port 0 stands for those that the kernel gives out.
fn listens_on(network: NetworkMode, port: u16) -> Option<Vec<u16>> {
    match network {
        NetworkMode::Host => Some(vec![0, port, DEFAULT_PORT]),
        NetworkMode::None | NetworkMode::Egress => None,
    }
}
