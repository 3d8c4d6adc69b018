//! Inits, and one of them ready before anybody waits for it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::ProcessOptions;
use crate::cgroup::CgroupRoots;
use crate::pidfd::PidFd;
use crate::walls::{NetworkMode, Walls};
use crate::wire::{Expected, Outlook};

/// An init that waits for its order. It leaves when the socket is closed before one came.
pub(super) struct Newborn {
    pub(super) init: PidFd,
    /// Where the order goes and the answer comes from; it does not block.
    pub(super) host: UnixStream,
}

/// Where inits come from. Its functions may block for some milliseconds.
pub(super) struct Nursery {
    command: Vec<OsString>,
    cgroups: CgroupRoots,
    walls: Walls,
    keeps_one: bool,
    next: Mutex<Next>,
}

/// The next order, and who will have it.
struct Next {
    ready: Option<Newborn>,
    // What it is expected to ask for: what the last one did.
    network: Option<NetworkMode>,
}

impl Nursery {
    /// One that makes its first init at once if the options ask for one that is ready.
    pub(super) fn new(options: &ProcessOptions) -> Self {
        let nursery = Self {
            command: options.init.clone(),
            cgroups: options.cgroups.clone(),
            walls: options.walls.clone(),
            keeps_one: options.one_init_ready,
            next: Mutex::new(Next { ready: None, network: options.first_network }),
        };
        nursery.refill();
        nursery
    }

    /// The init that is ready, or else a new one, for an order that asks for this network.
    pub(super) fn take(&self, network: NetworkMode) -> io::Result<Newborn> {
        let ready = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            next.network = Some(network);
            next.ready.take()
        };
        match ready.filter(|newborn| !newborn.init.has_ended()) {
            Some(ready) => Ok(ready),
            // There is no time to prepare anything.
            None => self.bear(None),
        }
    }

    /// Makes the next one ready.
    pub(super) fn refill(&self) {
        if !self.keeps_one {
            return;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.ready.is_none() {
            // Whoever comes for it tries again, and is told.
            next.ready = self.bear(next.network).ok();
        }
    }

    fn bear(&self, expected: Option<NetworkMode>) -> io::Result<Newborn> {
        let expected = expected.map(|network| Expected { walls: self.walls.clone(), network });
        let outlook = Outlook { cgroups: self.cgroups.clone(), expected };
        let mut outlook = serde_json::to_vec(&outlook)?;
        outlook.push(b'\n');
        let (mut host, theirs) = UnixStream::pair()?;
        let (program, args) = self.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let init = Command::new(program)
            .args(args)
            // Agents may read init's environment, and the host's holds secrets.
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        // It is our child and not waited for, so the number is still its own.
        let init = PidFd::open(init.id().cast_signed())?;
        host.set_nonblocking(true)?;
        // An init that ends early says more by its reply than by a broken pipe.
        let _ = host.write_all(&outlook);
        Ok(Newborn { init, host })
    }
}
