//! Reads what an agent wrote, whether it still runs or not: `log`, and `log.1` before it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use agentcore_sandbox::IncarnationFolder;
use bytes::Bytes;
use futures_util::Stream;
use tokio::task::spawn_blocking;

const LOG: &str = IncarnationFolder::LOG;
const OLDER_LOG: &str = IncarnationFolder::OLDER_LOG;
/// How often a followed log is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);
/// Most bytes handed on at once.
const PIECE: usize = 64 * 1024;

/// The end of a log, and where what follows begins.
pub(crate) struct Tail {
    pub(crate) bytes: Vec<u8>,
    pub(crate) position: Position,
}

/// The last `max_bytes` of the log in `folder`, in whole lines.
pub(crate) async fn open(folder: PathBuf, max_bytes: usize) -> io::Result<Tail> {
    spawn_blocking(move || read_tail(folder, max_bytes)).await.map_err(io::Error::other)?
}

/// The last `lines` lines of `bytes`.
pub(crate) fn last_lines(bytes: &[u8], lines: usize) -> &[u8] {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut starts = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match lines.checked_sub(1).map(|before| starts.nth(before)) {
        None => &[],
        Some(None) => bytes,
        Some(Some((end, _))) => &bytes[end + 1..],
    }
}

fn read_tail(folder: PathBuf, max_bytes: usize) -> io::Result<Tail> {
    let folder = IncarnationFolder::new(folder);
    let (mut bytes, file) = read_end(&folder, LOG, max_bytes)?;
    if bytes.len() < max_bytes {
        let (mut older, _) = read_end(&folder, OLDER_LOG, max_bytes - bytes.len())?;
        older.append(&mut bytes);
        bytes = older;
    }
    if bytes.len() >= max_bytes {
        // The first line is most likely cut.
        let start = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.drain(..start);
    }
    let inode = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|metadata| metadata.ino()))?;
    Ok(Tail { bytes, position: Position { folder, file, inode } })
}

/// The end of a file, and the file itself, read up to its end.
fn read_end(folder: &IncarnationFolder, name: &str, max_bytes: usize) -> io::Result<(Vec<u8>, Option<File>)> {
    let mut file = match folder.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(max_bytes as u64)))?;
    let mut end = Vec::new();
    (&mut file).take(max_bytes as u64).read_to_end(&mut end)?;
    Ok((end, Some(file)))
}

/// Where a reader of a log is.
pub(crate) struct Position {
    folder: IncarnationFolder,
    file: Option<File>,
    /// The file's identity: rotation renames it.
    inode: u64,
}

impl Position {
    /// What was written since the last call; the rest of a rotated log before the new one.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let mut piece = Vec::new();
        if let Some(file) = &mut self.file {
            file.take(PIECE as u64).read_to_end(&mut piece)?;
            if !piece.is_empty() {
                return Ok(piece);
            }
        }
        let current = match self.folder.open(LOG) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(piece),
            opened => opened?,
        };
        let inode = current.metadata()?.ino();
        if self.file.is_none() || inode != self.inode {
            (self.file, self.inode) = (Some(current), inode);
            return self.next();
        }
        Ok(piece)
    }
}

/// What is written to a log after `position`, until `ended` says that nothing more comes.
pub(crate) fn follow(
    position: Position,
    ended: impl Fn() -> bool + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures_util::stream::try_unfold((position, ended), |(mut position, ended)| async move {
        loop {
            // Asked before the file is read, so that the last words are not missed.
            let over = ended();
            let read = spawn_blocking(move || {
                let piece = position.next();
                (position, piece)
            });
            let (moved, piece) = read.await.map_err(io::Error::other)?;
            position = moved;
            let piece = piece?;
            if !piece.is_empty() {
                return Ok(Some((Bytes::from(piece), (position, ended))));
            }
            if over {
                return Ok(None);
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use futures_util::TryStreamExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(last_lines(b"a\nb\nc", 2), b"b\nc");
        assert_eq!(last_lines(b"a\nb\n", 5), b"a\nb\n");
        assert_eq!(last_lines(b"a\n", 0), b"");
        assert_eq!(last_lines(b"", 3), b"");
    }

    #[tokio::test]
    async fn a_tail_reaches_back_into_the_rotated_log_and_begins_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(OLDER_LOG), "one\ntwo\n").unwrap();
        std::fs::write(folder.path().join(LOG), "three\n").unwrap();
        let read = async |bytes| {
            String::from_utf8(open(folder.path().to_owned(), bytes).await.unwrap().bytes).unwrap()
        };
        assert_eq!(read(100).await, "one\ntwo\nthree\n");
        assert_eq!(read(12).await, "two\nthree\n");
        assert_eq!(read(6).await, "");
    }

    #[tokio::test]
    async fn a_folder_without_a_log_has_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open(folder.path().join("none"), 10).await.unwrap().bytes, b"");
    }

    #[tokio::test(start_paused = true)]
    async fn a_followed_log_goes_on_after_rotation_and_ends_with_the_session() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(LOG);
        std::fs::write(&log, "before\n").unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let tail = open(folder.path().to_owned(), 100).await.unwrap();
        assert_eq!(tail.bytes, b"before\n");
        let mut lines = Box::pin(follow(tail.position, move || ended.load(Ordering::Relaxed)));
        append(&log, "first\n");
        assert_eq!(lines.try_next().await.unwrap().unwrap(), "first\n");
        append(&log, "second\n");
        std::fs::rename(&log, folder.path().join(OLDER_LOG)).unwrap();
        append(&log, "third\n");
        assert_eq!(lines.try_next().await.unwrap().unwrap(), "second\n");
        over.store(true, Ordering::Relaxed);
        assert_eq!(lines.try_next().await.unwrap().unwrap(), "third\n");
        assert_eq!(lines.try_next().await.unwrap(), None);
    }

    fn append(path: &Path, text: &str) {
        use std::io::Write;
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}
