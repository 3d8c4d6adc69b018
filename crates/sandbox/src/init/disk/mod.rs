//! The bound on what a session keeps on disk, on any file system and without any right.
//!
//! Where nothing in the kernel counts for us, init looks: at the blocks of all files in the agent's own
//! folders, and of those that are deleted but still open. Nobody can write past the bound for long:
//! the next look is no later than what is left could be filled ([`pace`]). A look is taken in small
//! pieces ([`look`]), and takes a twentieth of a processor at most.
//!
//! A single file is kept within the bound by the kernel ([`limit_files`]), which tells whoever writes it.

mod entry;
mod look;
mod open_files;
mod pace;

use std::io;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use self::look::Look;
use crate::folder::IncarnationFolder;
use crate::proc::Proc;

/// For this many bytes of disk a session may have one file or folder: as few as file systems
/// commonly have room for. It also bounds what a look takes.
const BYTES_PER_FILE: u64 = 16 << 10;
/// With however little disk.
const FEWEST_FILES: u64 = 1_024;

/// What is held, or may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) bytes: u64,
    /// Files, folders, links and whatever else has a place of its own on the disk.
    pub(super) files: u64,
}

impl Amount {
    /// What a session may hold on so many bytes of disk.
    fn bound(bytes: u64) -> Self {
        Self { bytes, files: (bytes / BYTES_PER_FILE).max(FEWEST_FILES) }
    }

    /// How much is left of `self`; `None` when `held` is more.
    fn less(self, held: Self) -> Option<Self> {
        let bytes = self.bytes.checked_sub(held.bytes)?;
        Some(Self { bytes, files: self.files.checked_sub(held.files)? })
    }
}

/// Keeps an eye on what a session holds.
pub(super) struct DiskWatch {
    folder: IncarnationFolder,
    /// A process of ours among the agent's.
    inner: Option<i32>,
    bound: Amount,
    look: Option<Look>,
    next: Option<Duration>,
    is_exceeded: bool,
}

/// What a turn of the watch has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing to speak of.
    Fine,
    /// It holds more than it may; said once.
    TooMuch,
}

impl DiskWatch {
    /// Watches the agent's own folders; without `bytes` it never does anything. `inner` is a process
    /// of ours.
    pub(super) fn new(
        folder: &IncarnationFolder,
        inner: Option<i32>,
        bytes: Option<u64>,
        now: Duration,
    ) -> Self {
        let bound = Amount::bound(bytes.unwrap_or(u64::MAX));
        let next = bytes.map(|_| now + pace::until_next(bound, Duration::ZERO));
        Self { folder: folder.clone(), inner, bound, look: None, next, is_exceeded: false }
    }

    /// When to call [`tick`](Self::tick).
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.next
    }

    /// The bound in bytes, if more was held.
    pub(super) fn exceeded(&self) -> Option<u64> {
        self.is_exceeded.then_some(self.bound.bytes)
    }

    /// Looks on, if it is time to.
    pub(super) fn tick(&mut self, now: impl Fn() -> Duration) -> Found {
        let begun = now();
        if self.next.is_none_or(|due| due > begun) {
            return Found::Fine;
        }
        let look = self.look.get_or_insert_with(|| Look::begin(&self.folder, agents_processes(self.inner)));
        let is_over = look.go_on();
        let Some(left) = self.bound.less(look.held()).filter(|_| !look.is_too_deep()) else {
            (self.is_exceeded, self.next, self.look) = (true, None, None);
            return Found::TooMuch;
        };
        let ended = now();
        let took = ended.saturating_sub(begun);
        let wait = if is_over { pace::until_next(left, took) } else { pace::pause_after(took) };
        self.next = Some(ended + wait);
        if is_over {
            self.look = None;
        }
        Found::Fine
    }

    /// What is to be said of it in the agent's log.
    pub(super) fn notice(&self) -> String {
        let Amount { bytes, files } = self.bound;
        format!(
            "ended, because its folders held more than {bytes} bytes or {files} files, as much as they may: remove \
             what is not needed, or raise limits.disk_bytes of the agent"
        )
    }
}

/// The descendants of this process, but for `inner`.
fn agents_processes(inner: Option<i32>) -> Vec<i32> {
    let mut processes = Proc::default().descendants(std::process::id().cast_signed());
    processes.retain(|pid| Some(*pid) != inner);
    processes
}

/// Keeps every single file that the calling process will write a sixteenth below a session's bound of
/// `bytes`: its writer is told before the session is ended.
pub(super) fn limit_files(bytes: u64) -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE)?;
    let bytes = (bytes - bytes / 16).min(most);
    Ok(setrlimit(Resource::RLIMIT_FSIZE, bytes, bytes)?)
}

#[cfg(test)]
mod tests;
