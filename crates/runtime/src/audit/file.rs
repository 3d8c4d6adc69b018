//! The files of an audit log: `audit.jsonl`, and the older `audit.jsonl.1`, `audit.jsonl.2` and so on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{AuditOptions, AuditRecord, path};

/// The file that is written to.
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    options: AuditOptions,
}

impl AuditFile {
    pub(super) fn open(state: &Path, options: AuditOptions) -> io::Result<Self> {
        let path = path(state);
        let file = open(&path)?;
        Ok(Self { path, file, options })
    }

    /// Appends whole lines. A file that is full, or was taken away, is followed by a new one.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mine = self.file.metadata()?;
        let is_there = fs::metadata(&self.path).is_ok_and(|there| there.ino() == mine.ino());
        if is_there && mine.len() > 0 && mine.len() + lines.len() as u64 > self.options.file_bytes {
            self.rotate()?;
        } else if !is_there {
            self.file = open(&self.path)?;
        }
        self.file.write_all(lines)
    }

    fn rotate(&mut self) -> io::Result<()> {
        // A crash in the midst of a full file must not lose what is in no other.
        self.file.sync_all()?;
        for number in (1..self.options.files).rev() {
            match fs::rename(older(&self.path, number - 1), older(&self.path, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.options.files <= 1 {
            fs::remove_file(&self.path)?;
        }
        self.file = open(&self.path)?;
        Ok(())
    }
}

/// The `number`th file before the current one, which is number 0.
fn older(current: &Path, number: u32) -> PathBuf {
    match number {
        0 => current.to_owned(),
        number => PathBuf::from(format!("{}.{number}", current.display())),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Appends one record to the log of a state folder, whether a host runs there or not.
///
/// # Errors
/// The file cannot be written.
pub fn append(state: &Path, record: &AuditRecord) -> io::Result<()> {
    // In one piece: a host may append as well.
    open(&path(state))?.write_all(&record.line())
}

/// The files that there are of the log of a state folder, oldest first.
pub fn files(state: &Path) -> Vec<PathBuf> {
    let current = path(state);
    let there = (0..).map(|number| older(&current, number)).take_while(|file| file.exists());
    let mut files: Vec<_> = there.collect();
    files.reverse();
    files
}
