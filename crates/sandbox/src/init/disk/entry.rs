//! One folder being read, and what is in it.

#![allow(unsafe_code, reason = "the descriptor behind an iterator is lent for a call")]

use std::ffi::CStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::NixPath;
use nix::dir::{Dir, OwningIter};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};

/// Agents may put anything in a folder's place: no link is followed.
const FOLDER: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// What an owner needs to look into a folder.
const LOOK: u32 = 0o500;

/// A folder that is read entry by entry.
pub(super) struct Folder(OwningIter);

impl Folder {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Self::open(|flags| open(path, flags, Mode::empty()))
    }

    /// Opens a folder in this one.
    pub(super) fn enter(&self, name: &CStr) -> io::Result<Self> {
        Self::open(|flags| openat(self.as_fd(), name, flags, Mode::empty()))
    }

    // A folder that even its owner may not look into is opened up: it could hide anything. By a
    // descriptor, which is sure to be the folder.
    fn open(open: impl Fn(OFlag) -> nix::Result<OwnedFd>) -> io::Result<Self> {
        let folder = open(FOLDER | OFlag::O_PATH)?;
        let mode = fstat(&folder)?.st_mode;
        if mode & LOOK != LOOK {
            let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
            // Where it is another user's, init is root and needs no permission.
            let _ = fs::set_permissions(&path, Permissions::from_mode(mode | LOOK));
        }
        Ok(Self(Dir::openat(folder, c".", FOLDER, Mode::empty())?.into_iter()))
    }

    /// What is at a name in this folder; `None` when it has gone.
    pub(super) fn stat<P: ?Sized + NixPath>(&self, name: &P) -> io::Result<Option<FileStat>> {
        match fstatat(self.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    /// The next entry, but for the folder itself and what it is in.
    pub(super) fn next(&mut self) -> Option<nix::Result<nix::dir::Entry>> {
        self.0.find(|entry| {
            let is_itself = |entry: &nix::dir::Entry| [c".", c".."].contains(&entry.file_name());
            !entry.as_ref().is_ok_and(is_itself)
        })
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the iterator owns it, and lives as long as what is returned.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}
