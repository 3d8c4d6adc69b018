//! One look at what a session holds, in pieces.

use std::collections::HashSet;
use std::path::PathBuf;

use nix::sys::stat::{FileStat, SFlag};

use super::Amount;
use super::entry::Folder;
use super::open_files::OpenFiles;
use crate::folder::IncarnationFolder;

/// How many entries are looked at without a pause: a millisecond or two.
const ENTRIES_A_PIECE: usize = 512;
/// How many folders may be inside each other. Each takes a descriptor while it is looked into.
const DEEPEST: usize = 256;
/// What `st_blocks` counts in, whatever the file system's own blocks are.
const BLOCK: u64 = 512;

/// Device and number: what tells files apart, whatever their names.
pub(super) type Identity = (u64, u64);

/// A look that is being taken.
pub(super) struct Look {
    held: Amount,
    // Those that have several names, or none: they count once.
    counted: HashSet<Identity>,
    /// Folders to be looked into yet.
    roots: Vec<PathBuf>,
    /// The folders that are being looked into, each in the one before.
    inside: Vec<Folder>,
    open_files: OpenFiles,
    is_too_deep: bool,
}

impl Look {
    /// Begins to look at the agent's own folders, and at what these processes have open.
    pub(super) fn begin(folder: &IncarnationFolder, processes: Vec<i32>) -> Self {
        Self {
            held: Amount::default(),
            counted: HashSet::new(),
            roots: folder.own().into(),
            inside: Vec::new(),
            open_files: OpenFiles::of(processes),
            is_too_deep: false,
        }
    }

    /// What has been seen so far.
    pub(super) fn held(&self) -> Amount {
        self.held
    }

    /// Whether folders lie deeper than it looks.
    pub(super) fn is_too_deep(&self) -> bool {
        self.is_too_deep
    }

    /// Looks at a few more entries. Whether that were the last.
    pub(super) fn go_on(&mut self) -> bool {
        (0..ENTRIES_A_PIECE).any(|_| !self.step())
    }

    // What cannot be read has gone, as a rule; whatever it was, the next look finds it again.
    fn step(&mut self) -> bool {
        let Some(folder) = self.inside.last_mut() else {
            return self.enter_root() || self.next_open_file();
        };
        let Some(entry) = folder.next() else {
            self.inside.pop();
            return true;
        };
        let Ok(entry) = entry else { return true };
        let Ok(Some(found)) = folder.stat(entry.file_name()) else { return true };
        if is(&found, SFlag::S_IFDIR) {
            let inside = folder.enter(entry.file_name());
            self.count(&found);
            if let Ok(inside) = inside {
                self.inside.push(inside);
                self.is_too_deep |= self.inside.len() > DEEPEST;
            }
        } else {
            self.count(&found);
        }
        true
    }

    fn enter_root(&mut self) -> bool {
        let Some(root) = self.roots.pop() else { return false };
        if let Ok(folder) = Folder::at(&root) {
            if let Ok(Some(found)) = folder.stat(c".") {
                self.open_files.add_device(found.st_dev);
                self.count(&found);
            }
            self.inside.push(folder);
        }
        true
    }

    fn next_open_file(&mut self) -> bool {
        let Some(found) = self.open_files.next() else { return false };
        if let Some(deleted) = found {
            self.count(&deleted);
        }
        true
    }

    fn count(&mut self, found: &FileStat) {
        let has_one_name = found.st_nlink == 1 || is(found, SFlag::S_IFDIR);
        if has_one_name || self.counted.insert((found.st_dev, found.st_ino)) {
            self.held.files += 1;
            self.held.bytes += u64::try_from(found.st_blocks).unwrap_or_default() * BLOCK;
        }
    }
}

/// Whether something is of this kind.
pub(super) fn is(found: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == kind
}
