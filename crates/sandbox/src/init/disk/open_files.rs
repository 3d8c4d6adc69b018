//! Files that are deleted but still open: they take their place on the disk until they are closed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstatat};

use super::entry::Folder;
use super::look::is;

/// What a session's processes have open.
pub(super) struct OpenFiles {
    processes: Vec<i32>,
    /// The threads of one of them: each may have descriptors of its own.
    threads: Option<(PathBuf, Folder)>,
    /// The descriptors of one of those.
    descriptors: Option<Folder>,
    /// Only files of the agent's own folders are its use of disk: memory has a bound of its own.
    devices: Vec<u64>,
}

impl OpenFiles {
    pub(super) fn of(processes: Vec<i32>) -> Self {
        Self { processes, threads: None, descriptors: None, devices: Vec::new() }
    }

    /// Counts files of this device.
    pub(super) fn add_device(&mut self, device: u64) {
        self.devices.push(device);
    }

    /// Looks at the next descriptor: a deleted file or something else. `None` after the last.
    pub(super) fn next(&mut self) -> Option<Option<FileStat>> {
        let Some(descriptors) = &mut self.descriptors else {
            return self.next_thread().then_some(None);
        };
        let Some(entry) = descriptors.next() else {
            self.descriptors = None;
            return Some(None);
        };
        // Through the link, which leads to the open file and not to what is at its path now.
        let found =
            entry.ok().and_then(|entry| fstatat(&*descriptors, entry.file_name(), AtFlags::empty()).ok());
        Some(
            found
                .filter(|it| it.st_nlink == 0 && is(it, SFlag::S_IFREG) && self.devices.contains(&it.st_dev)),
        )
    }

    /// Goes on to the descriptors of the next thread. Whether there may be one.
    fn next_thread(&mut self) -> bool {
        let Some((at, threads)) = &mut self.threads else {
            let Some(pid) = self.processes.pop() else { return false };
            let at = Path::new("/proc").join(pid.to_string()).join("task");
            // A process that has ended has nothing open.
            self.threads = Folder::at(&at).ok().map(|threads| (at, threads));
            return true;
        };
        match threads.next() {
            Some(Ok(thread)) => {
                let name = OsStr::from_bytes(thread.file_name().to_bytes());
                self.descriptors = Folder::at(&at.join(name).join("fd")).ok();
            }
            Some(Err(_)) => {}
            None => self.threads = None,
        }
        true
    }
}
