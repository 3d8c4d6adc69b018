//! One command at a time changes a file.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Held while a file is read, changed and written.
#[derive(Debug)]
pub(super) struct Alone {
    _folder: Option<Flock<File>>,
}

/// Waits until no other command changes a file in `folder`.
///
/// The folder is what is locked: the file itself is another one after each change, and a lock file
/// would stay behind in it.
pub(super) fn alone_in(folder: &Path) -> io::Result<Alone> {
    match Flock::lock(File::open(folder)?, FlockArg::LockExclusive) {
        Ok(lock) => Ok(Alone { _folder: Some(lock) }),
        // Some network file systems lock no folders. What was changed at the same time may be lost
        // there, but nobody is kept from working.
        Err((_, Errno::EBADF | Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL)) => {
            Ok(Alone { _folder: None })
        }
        Err((_, errno)) => Err(errno.into()),
    }
}
