//! Opens and reads a journal, whatever an agent has put in its place.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use agentcore_protocol::journal::{FILE_NAME, MAX_LINE_BYTES, PREVIOUS_FILE_NAME};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::store::JournalPosition;

/// Most bytes that are read at once: a line of the greatest length, and some more.
pub(super) const PIECE: usize = MAX_LINE_BYTES + (64 << 10);

/// Why a journal is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is a symbolic link")]
    Link,
    #[error("it is no regular file")]
    NoFile,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A part of a journal.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Where it begins.
    pub(super) position: JournalPosition,
    pub(super) start: Start,
    /// There is more than this.
    pub(super) more: bool,
}

/// How a piece goes on from what was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// In the same file, or nothing was read before.
    Same,
    /// In the file that follows, after all of the one before.
    Next,
    /// Not at all: the journal is not the one that was read before, or was cut.
    Anew,
}

/// What follows `from` in the journal in `folder`. `None`: there is no journal.
///
/// What is before `from` is on record, so a journal that came before that file is removed.
pub(super) fn read(folder: &Path, from: JournalPosition) -> Result<Option<Piece>, Unreadable> {
    let Some(folder) = open_folder(folder)? else { return Ok(None) };
    let current = Journal::find(&folder, FILE_NAME)?;
    if let Some(current) = current.as_ref().filter(|current| current.holds(from)) {
        // There is none, mostly. What cannot be removed is the agent's doing, and its own disk.
        let _ = unlinkat(&folder, PREVIOUS_FILE_NAME, UnlinkatFlags::NoRemoveDir);
        return Ok(Some(current.piece(from.offset, Start::Same)?));
    }
    let mut start = if from == JournalPosition::default() { Start::Same } else { Start::Anew };
    // What is no journal there is none.
    if let Ok(Some(previous)) = Journal::find(&folder, PREVIOUS_FILE_NAME) {
        let is_known = previous.holds(from);
        let offset = if is_known { from.offset } else { 0 };
        let rest = previous.piece(offset, if is_known { Start::Same } else { start })?;
        // Nobody writes it any more: a line without an end has none.
        let is_over = rest.bytes.len() < PIECE && !rest.bytes.contains(&b'\n');
        if !is_over || current.is_none() {
            return Ok(Some(Piece { more: !is_over, ..rest }));
        }
        if is_known {
            start = Start::Next;
        }
    }
    Ok(match current {
        Some(current) => Some(current.piece(0, start)?),
        None => None,
    })
}

/// A file that is there.
struct Journal {
    file: File,
    inode: u64,
    length: u64,
}

impl Journal {
    /// Opens a file of the folder, which may not be a link to somebody else's. An open never waits, as
    /// that of a pipe would.
    fn find(folder: &OwnedFd, name: &str) -> Result<Option<Self>, Unreadable> {
        let flags =
            OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let Some(file) = found(openat(folder, name, flags, Mode::empty()))?.map(File::from) else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Unreadable::NoFile);
        }
        Ok(Some(Self { file, inode: metadata.ino(), length: metadata.len() }))
    }

    /// Whether that position is one of this file.
    fn holds(&self, position: JournalPosition) -> bool {
        position.inode == self.inode && position.offset <= self.length
    }

    fn piece(&self, offset: u64, start: Start) -> Result<Piece, Unreadable> {
        let left = self.length - offset;
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
        let read = read_at(&self.file, &mut bytes, offset)?;
        bytes.truncate(read);
        let position = JournalPosition { inode: self.inode, offset };
        Ok(Piece { more: (read as u64) < left, bytes, position, start })
    }
}

/// Opens the folder, which may not be a link either.
fn open_folder(folder: &Path) -> Result<Option<OwnedFd>, Unreadable> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    found(open(folder, flags, Mode::empty()))
}

fn found(opened: Result<OwnedFd, Errno>) -> Result<Option<OwnedFd>, Unreadable> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::ENOENT) => Ok(None),
        Err(Errno::ELOOP) => Err(Unreadable::Link),
        // A folder that is a link is no folder to these flags; a socket has no other end.
        Err(Errno::ENOTDIR | Errno::ENXIO) => Err(Unreadable::NoFile),
        Err(error) => Err(Unreadable::Io(error.into())),
    }
}

/// Fills the buffer as far as the file goes, which may be shorter by now.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::mkfifo;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    const START: JournalPosition = JournalPosition { inode: 0, offset: 0 };

    fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join(FILE_NAME);
        (folder, journal)
    }

    #[test]
    fn no_journal_is_nothing() {
        let (folder, _) = folder();
        assert!(read(folder.path(), START).unwrap().is_none());
        assert!(read(&folder.path().join("none"), START).unwrap().is_none());
    }

    #[test]
    fn links_pipes_sockets_and_folders_are_left_alone() {
        let (elsewhere, others) = folder();
        std::fs::write(&others, "secret\n").unwrap();
        let (folder, journal) = folder();

        symlink(&others, &journal).unwrap();
        assert!(matches!(read(folder.path(), START), Err(Unreadable::Link)));
        std::fs::remove_file(&journal).unwrap();

        mkfifo(&journal, Mode::S_IRWXU).unwrap();
        assert!(matches!(read(folder.path(), START), Err(Unreadable::NoFile)));
        std::fs::remove_file(&journal).unwrap();

        let socket = std::os::unix::net::UnixListener::bind(&journal).unwrap();
        assert!(matches!(read(folder.path(), START), Err(Unreadable::NoFile)));
        drop(socket);
        std::fs::remove_file(&journal).unwrap();

        std::fs::create_dir(&journal).unwrap();
        assert!(matches!(read(folder.path(), START), Err(Unreadable::NoFile)));

        let link = folder.path().join("link");
        symlink(elsewhere.path(), &link).unwrap();
        assert!(read(&link, START).is_err(), "a folder that is a link");
    }

    #[test]
    fn a_journal_that_was_cut_or_replaced_is_read_from_its_beginning() {
        let (folder, journal) = folder();
        std::fs::write(&journal, "one\ntwo\n").unwrap();
        let first = read(folder.path(), START).unwrap().unwrap();
        assert!(first.start == Start::Same && !first.more);
        let mut position = first.position;
        position.offset = 8;
        assert_eq!(read(folder.path(), position).unwrap().unwrap().bytes, b"");

        std::fs::write(&journal, "x\n").unwrap();
        let cut = read(folder.path(), position).unwrap().unwrap();
        assert_eq!(
            (cut.start, cut.position.offset, cut.bytes.as_slice()),
            (Start::Anew, 0, b"x\n".as_slice())
        );

        let other = folder.path().join("other");
        std::fs::write(&other, "another file\n").unwrap();
        std::fs::rename(&other, &journal).unwrap();
        let replaced = read(folder.path(), position).unwrap().unwrap();
        assert_eq!((replaced.start, replaced.bytes.as_slice()), (Start::Anew, b"another file\n".as_slice()));
    }

    #[test]
    fn a_large_journal_comes_in_pieces() {
        let (folder, journal) = folder();
        std::fs::write(&journal, vec![b'x'; PIECE + 1]).unwrap();
        let first = read(folder.path(), START).unwrap().unwrap();
        assert_eq!((first.bytes.len(), first.more), (PIECE, true));
        let next = JournalPosition { offset: PIECE as u64, ..first.position };
        let last = read(folder.path(), next).unwrap().unwrap();
        assert_eq!((last.bytes.len(), last.more), (1, false));
    }

    /// What a reader does who has `read` put on record.
    fn after(piece: &Piece) -> JournalPosition {
        let lines = piece.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        JournalPosition { offset: piece.position.offset + lines as u64, ..piece.position }
    }

    #[test]
    fn what_links_to_elsewhere_is_no_journal_that_came_before() {
        let (elsewhere, others) = folder();
        std::fs::write(&others, "secret\n").unwrap();
        let (folder, journal) = folder();
        std::fs::write(&journal, "one\n").unwrap();
        symlink(&others, folder.path().join(PREVIOUS_FILE_NAME)).unwrap();
        let piece = read(folder.path(), START).unwrap().unwrap();
        assert_eq!(piece.bytes, b"one\n");
        read(folder.path(), after(&piece)).unwrap();
        assert!(!folder.path().join(PREVIOUS_FILE_NAME).is_symlink());
        assert!(elsewhere.path().join(FILE_NAME).exists());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(u8),
        /// A write that the disk had no room for the end of.
        Torn,
        Rotate,
        Read,
        /// A host that dies before what it has read is on record.
        ReadInVain,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (1..4_u8).prop_map(Step::Write),
            1 => Just(Step::Torn),
            2 => Just(Step::Rotate),
            3 => Just(Step::Read),
            1 => Just(Step::ReadInVain),
        ]
    }

    proptest! {
        #[test]
        fn however_often_another_is_begun_every_line_is_read_once_and_in_order(
            steps in proptest::collection::vec(step(), 1..60),
        ) {
            let (folder, journal) = folder();
            let previous = folder.path().join(PREVIOUS_FILE_NAME);
            let (mut position, mut seen, mut next, mut torn) = (START, Vec::new(), 0, false);
            let append = |text: &str| {
                let mut file = File::options().create(true).append(true).open(&journal).unwrap();
                file.write_all(text.as_bytes()).unwrap();
            };
            let finish = std::iter::repeat_n(Step::Read, 2 * steps.len() + 4);
            for step in steps.into_iter().chain(finish) {
                match step {
                    Step::Write(lines) => for _ in 0..lines {
                        append(&format!("{}{next}\n", if std::mem::take(&mut torn) { "\n" } else { "" }));
                        next += 1;
                    },
                    Step::Torn => {
                        append("torn");
                        torn = true;
                    }
                    Step::Rotate => if !previous.exists() && journal.exists() {
                        std::fs::rename(&journal, &previous).unwrap();
                    },
                    Step::Read | Step::ReadInVain => {
                        let Some(piece) = read(folder.path(), position).unwrap() else { continue };
                        let reached = after(&piece);
                        prop_assert!(piece.start != Start::Anew);
                        if matches!(step, Step::Read) && reached.offset > piece.position.offset {
                            let text = String::from_utf8(piece.bytes).unwrap();
                            seen.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
                            position = reached;
                        }
                    }
                }
            }
            prop_assert_eq!(seen, (0..next).collect::<Vec<u32>>());
        }
    }
}
