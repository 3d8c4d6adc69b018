//! The log of a sandbox: what the agent wrote, bounded, in two files that take turns.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::folder::IncarnationFolder;

/// Bytes kept of a log when nothing else is said.
const DEFAULT_BYTES: u64 = 10 << 20;

/// A log that never takes more than its bound: when the newest file is half of that, it becomes
/// the older one.
pub(crate) struct RotatedLog {
    folder: IncarnationFolder,
    file: File,
    written: u64,
    bytes_per_file: u64,
}

impl RotatedLog {
    /// Opens the log of a folder, after what it has already.
    pub(crate) fn open(folder: &IncarnationFolder, max_bytes: Option<u64>) -> io::Result<Self> {
        let file = open_for_appending(folder)?;
        let written = file.metadata()?.len();
        let bytes_per_file = (max_bytes.unwrap_or(DEFAULT_BYTES) / 2).max(1);
        Ok(Self { folder: folder.clone(), file, written, bytes_per_file })
    }

    /// Appends. What does not fit on the disk is lost: an agent must not stand still because
    /// nobody can keep its words.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.written >= self.bytes_per_file && self.rotate().is_err() {
                return;
            }
            let room = usize::try_from(self.bytes_per_file - self.written).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if self.file.write_all(now).is_err() {
                return;
            }
            self.written += now.len() as u64;
            bytes = later;
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(self.folder.log(), self.folder.older_log())?;
        self.file = open_for_appending(&self.folder)?;
        self.written = 0;
        Ok(())
    }
}

/// Opens the newest file of a log for appending.
pub(crate) fn open_for_appending(folder: &IncarnationFolder) -> io::Result<File> {
    // Never through a link, which an agent may have put there.
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(folder.log())
}

/// The end of a folder's log, in whole lines, at most `max_bytes` of it.
pub(crate) fn tail(folder: &IncarnationFolder, max_bytes: usize) -> io::Result<Vec<u8>> {
    // One byte more than asked for tells whether the tail begins at a line.
    let wanted = max_bytes.saturating_add(1);
    let mut log = end_of(folder, IncarnationFolder::LOG, wanted)?;
    if log.len() < wanted {
        let mut older = end_of(folder, IncarnationFolder::OLDER_LOG, wanted - log.len())?;
        older.append(&mut log);
        log = older;
    }
    Ok(whole_lines(&log, max_bytes).to_vec())
}

fn end_of(folder: &IncarnationFolder, name: &str, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut file = match folder.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(max_bytes as u64)))?;
    let mut end = Vec::new();
    file.take(max_bytes as u64).read_to_end(&mut end)?;
    Ok(end)
}

/// The end of `log`, at most `max_bytes` of it, from the beginning of a line. A single line that is
/// longer than that is cut.
pub(crate) fn whole_lines(log: &[u8], max_bytes: usize) -> &[u8] {
    if log.len() <= max_bytes {
        return log;
    }
    let start = log.len() - max_bytes;
    if log[start - 1] == b'\n' {
        return &log[start..];
    }
    match log[start..].iter().position(|byte| *byte == b'\n') {
        Some(line_feed) if start + line_feed + 1 < log.len() => &log[start + line_feed + 1..],
        _ => &log[start..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_at_a_line() {
        assert_eq!(whole_lines(b"one\ntwo\nthree\n", 100), b"one\ntwo\nthree\n");
        assert_eq!(whole_lines(b"one\ntwo\nthree\n", 8), b"three\n");
        assert_eq!(whole_lines(b"one\ntwo\nthree\n", 6), b"three\n");
        assert_eq!(whole_lines(b"one\ntwo\nthree\n", 0), b"");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut() {
        assert_eq!(whole_lines(b"abcdefgh\n", 4), b"fgh\n");
        assert_eq!(whole_lines(b"abcdefgh", 4), b"efgh");
    }

    #[test]
    fn a_log_stays_within_its_bound_and_keeps_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let folder = IncarnationFolder::new(folder.path());
        let mut log = RotatedLog::open(&folder, Some(100)).unwrap();
        for number in 0..1000 {
            log.append(format!("line {number}\n").as_bytes());
        }
        let size = |path| fs::metadata(path).map_or(0, |file| file.len());
        assert!(size(folder.log()) + size(folder.older_log()) <= 100);
        assert_eq!(tail(&folder, 30).unwrap(), b"line 997\nline 998\nline 999\n");
        log.append(&[b'x'; 1000]);
        assert!(size(folder.log()) + size(folder.older_log()) <= 100);
    }

    #[test]
    fn a_reopened_log_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let folder = IncarnationFolder::new(folder.path());
        RotatedLog::open(&folder, None).unwrap().append(b"before\n");
        RotatedLog::open(&folder, None).unwrap().append(b"after\n");
        assert_eq!(tail(&folder, 100).unwrap(), b"before\nafter\n");
    }
}
