//! Reads an audit log from its beginning, and then what is added.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use agentcore_runtime::audit;

/// The lines of an audit log, in their order.
pub(super) struct Records {
    state: PathBuf,
    /// The file that was read last, and how far.
    read: Option<(u64, u64)>,
}

impl Records {
    /// Those in a state folder.
    pub(super) fn of(state: PathBuf) -> Self {
        Self { state, read: None }
    }

    /// The whole lines that have not been read before.
    pub(super) fn next(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut is_new = self.read.is_none();
        let files = audit::files(&self.state);
        // What was read last may be gone by now; then all that is there is new.
        let known = |inode| files.iter().any(|file| fs::metadata(file).is_ok_and(|it| it.ino() == inode));
        if let Some((inode, _)) = self.read
            && !known(inode)
        {
            is_new = true;
        }
        for path in &files {
            let mut file = match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let inode = file.metadata()?.ino();
            let from = match self.read {
                Some((last, position)) if last == inode => {
                    is_new = true;
                    position
                }
                _ if !is_new => continue,
                _ => 0,
            };
            let position = from + add_lines(&mut file, from, &mut lines)?;
            self.read = Some((inode, position));
        }
        Ok(lines)
    }
}

/// Adds the whole lines from `position` on; returns how many bytes they have.
fn add_lines(file: &mut File, position: u64, lines: &mut Vec<String>) -> io::Result<u64> {
    file.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    lines.extend(String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned));
    Ok(whole as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_once_also_across_a_change_of_files() {
        let state = tempfile::tempdir().unwrap();
        let current = audit::path(state.path());
        let mut records = Records::of(state.path().to_owned());
        assert!(records.next().unwrap().is_empty());
        fs::write(&current, "1\n2\nhal").unwrap();
        assert_eq!(records.next().unwrap(), ["1", "2"]);
        fs::write(&current, "1\n2\nhalf\n").unwrap();
        fs::rename(&current, state.path().join("audit.jsonl.1")).unwrap();
        fs::write(&current, "3\n").unwrap();
        assert_eq!(records.next().unwrap(), ["half", "3"]);
        assert!(records.next().unwrap().is_empty());
        fs::remove_file(state.path().join("audit.jsonl.1")).unwrap();
        fs::rename(&current, state.path().join("audit.jsonl.1")).unwrap();
        fs::write(&current, "4\n").unwrap();
        assert_eq!(records.next().unwrap(), ["4"]);
    }
}
