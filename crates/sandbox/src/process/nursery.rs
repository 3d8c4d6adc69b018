//! Inits, and one of them ready before anybody waits for it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::ProcessOptions;
use crate::pidfd::PidFd;

/// An init that waits for its order. It leaves when the socket is closed before one came.
pub(super) struct Newborn {
    pub(super) init: PidFd,
    /// Where the order goes and the answer comes from; it does not block.
    pub(super) host: UnixStream,
}

/// Where inits come from. Its functions may block for some milliseconds.
pub(super) struct Nursery {
    command: Vec<OsString>,
    // What inits are told at once.
    roots: Vec<u8>,
    keeps_one: bool,
    ready: Mutex<Option<Newborn>>,
}

impl Nursery {
    /// One that makes its first init at once if the options ask for one that is ready.
    pub(super) fn new(options: &ProcessOptions) -> Self {
        let mut roots = serde_json::to_vec(&options.cgroups).unwrap_or_default();
        roots.push(b'\n');
        let keeps_one = options.one_init_ready;
        let nursery = Self { command: options.init.clone(), roots, keeps_one, ready: Mutex::new(None) };
        nursery.refill();
        nursery
    }

    /// The init that is ready, or else a new one.
    pub(super) fn take(&self) -> io::Result<Newborn> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ready.filter(|newborn| !newborn.init.has_ended()) {
            Some(ready) => Ok(ready),
            None => self.bear(),
        }
    }

    /// Makes the next one ready.
    pub(super) fn refill(&self) {
        if !self.keeps_one {
            return;
        }
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_none() {
            // Whoever comes for it tries again, and is told.
            *ready = self.bear().ok();
        }
    }

    fn bear(&self) -> io::Result<Newborn> {
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
        let _ = host.write_all(&self.roots);
        Ok(Newborn { init, host })
    }
}
