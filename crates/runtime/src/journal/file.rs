//! Opens and reads a journal, whatever an agent has put in its place.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use agentcore_protocol::journal::{FILE_NAME, MAX_LINE_BYTES};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

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
    /// The journal is not the one that was read before, or was cut.
    pub(super) anew: bool,
    /// There is more than this.
    pub(super) more: bool,
}

/// What follows `from` in the journal in `folder`. `None`: there is no journal.
pub(super) fn read(folder: &Path, from: JournalPosition) -> Result<Option<Piece>, Unreadable> {
    let Some(file) = find(folder)? else { return Ok(None) };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Unreadable::NoFile);
    }
    let known = from.inode == metadata.ino() && from.offset <= metadata.len();
    let anew = !known && from != JournalPosition::default();
    let position = JournalPosition { inode: metadata.ino(), offset: if known { from.offset } else { 0 } };
    let left = metadata.len() - position.offset;
    let mut bytes = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
    let read = read_at(&file, &mut bytes, position.offset)?;
    bytes.truncate(read);
    Ok(Some(Piece { more: (read as u64) < left, bytes, position, anew }))
}

/// Opens the journal. Neither the folder nor the file may be a link to somebody else's, and an open
/// never waits, as that of a pipe would.
fn find(folder: &Path) -> Result<Option<File>, Unreadable> {
    let folder_flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file_flags =
        OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let opened = open(folder, folder_flags, Mode::empty())
        .and_then(|folder| openat(folder, FILE_NAME, file_flags, Mode::empty()));
    match opened {
        Ok(file) => Ok(Some(File::from(file))),
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
        assert!(!first.anew && !first.more);
        let mut position = first.position;
        position.offset = 8;
        assert_eq!(read(folder.path(), position).unwrap().unwrap().bytes, b"");

        std::fs::write(&journal, "x\n").unwrap();
        let cut = read(folder.path(), position).unwrap().unwrap();
        assert_eq!((cut.anew, cut.position.offset, cut.bytes.as_slice()), (true, 0, b"x\n".as_slice()));

        let other = folder.path().join("other");
        std::fs::write(&other, "another file\n").unwrap();
        std::fs::rename(&other, &journal).unwrap();
        let replaced = read(folder.path(), position).unwrap().unwrap();
        assert_eq!((replaced.anew, replaced.bytes.as_slice()), (true, b"another file\n".as_slice()));
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
}
