//! The task journal: every change of a task, appended to a file that outlives the process.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use agentcore_protocol::journal::{FILE_NAME, FULL_BYTES, JournalLine, PREVIOUS_FILE_NAME};

/// How large a buffer is kept from one line to the next.
const KEPT_BUFFER: usize = 64 << 10;

/// An open journal.
///
/// Lines are written at once, in the order of the changes: the kernel has them when `append`
/// returns, so they survive the process, if not the machine. What the host makes durable is the
/// host's to say. A file that is full is put aside for the host, which removes it once it has read
/// it; until then none other is, so that nothing is lost while there is no host.
pub(crate) struct Journal {
    path: PathBuf,
    previous: PathBuf,
    full: u64,
    state: Mutex<State>,
    /// Set while lines cannot be written, so that a full disk is logged once, not once a line.
    failing: AtomicBool,
}

struct State {
    file: File,
    buffer: Vec<u8>,
    /// The last write stopped within a line: the next one starts on a line of its own.
    torn: bool,
}

impl Journal {
    /// Opens, or begins, the journal in `folder`.
    ///
    /// # Errors
    /// The folder cannot be made, or the file not be opened.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(FILE_NAME);
        let file = append_to(&path)?;
        // An earlier process may have been cut off within a line.
        let torn = file.metadata()?.len() > 0;
        Ok(Self {
            path,
            previous: folder.join(PREVIOUS_FILE_NAME),
            full: FULL_BYTES,
            state: Mutex::new(State { file, buffer: Vec::new(), torn }),
            failing: AtomicBool::new(false),
        })
    }

    pub(crate) fn append(&self, line: &JournalLine) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { file, buffer, torn } = &mut *state;
        buffer.clear();
        // One large result must not hold its memory for ever.
        buffer.shrink_to(KEPT_BUFFER);
        if *torn {
            buffer.push(b'\n');
        }
        if !line.encode(buffer) {
            tracing::warn!(task.id = %line.task_id, "a task's progress is too large for the journal: it is left out");
            return;
        }
        let written = self.write(file, buffer);
        *torn = written.is_err();
        match written {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, "the task journal cannot be written: the host will not see what tasks do until it can");
            }
            Err(_) => {}
        }
    }

    /// Writes into the file that is the journal now, which other processes of this agent may write,
    /// too: while one holds the lock, no other puts the file aside.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        loop {
            file.lock()?;
            if self.is_journal(file)? {
                break;
            }
            // The lock goes with the file that it is on.
            *file = append_to(&self.path)?;
        }
        let written = file.write_all(bytes);
        file.unlock()?;
        written
    }

    /// Whether the file is the journal, and has room. One that is full is put aside if it can be.
    fn is_journal(&self, file: &File) -> io::Result<bool> {
        let opened = file.metadata()?;
        let is_there = match std::fs::symlink_metadata(&self.path) {
            Ok(there) => is_same(&opened, &there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !is_there || opened.len() < self.full || self.previous.exists() {
            return Ok(is_there);
        }
        // What cannot be put aside grows on.
        Ok(std::fs::rename(&self.path, &self.previous).is_err())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Hosts run where files have inodes.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentcore_protocol::journal::{TaskChange, read};
    use agentcore_protocol::{TaskId, Timestamp};

    #[test]
    fn a_journal_that_was_cut_off_within_a_line_goes_on_with_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, b"{\"at\":1,\"task_").unwrap();

        let journal = Journal::open(folder.path()).unwrap();
        journal.append(&line(1));
        journal.append(&line(2));

        let lines = read(&std::fs::read(&path).unwrap()).lines;
        let good: Vec<_> = lines.into_iter().flatten().map(|line| line.task_id).collect();
        assert_eq!(good, [TaskId::from_random(1), TaskId::from_random(2)]);
    }

    fn line(number: u64) -> JournalLine {
        let task_id = TaskId::from_random(number);
        JournalLine { at: Timestamp::default(), task_id, change: TaskChange::Cancelled }
    }

    fn lines(path: &Path) -> Vec<TaskId> {
        let bytes = std::fs::read(path).unwrap();
        read(&bytes).lines.into_iter().flatten().map(|line| line.task_id).collect()
    }

    #[test]
    fn a_full_journal_is_put_aside_and_none_other_until_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        journal.full = 1;
        (1..=4).for_each(|number| journal.append(&line(number)));
        assert_eq!(lines(&journal.previous), [TaskId::from_random(1)]);
        assert_eq!(lines(&journal.path), [2, 3, 4].map(TaskId::from_random));
        std::fs::remove_file(&journal.previous).unwrap();
        journal.append(&line(5));
        assert_eq!(lines(&journal.previous), [2, 3, 4].map(TaskId::from_random));
        assert_eq!(lines(&journal.path), [TaskId::from_random(5)]);
    }

    #[test]
    fn a_journal_that_another_process_put_aside_is_not_written_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let [mut one, other] = [0, 1].map(|_| Journal::open(folder.path()).unwrap());
        one.full = 1;
        one.append(&line(1));
        one.append(&line(2));
        other.append(&line(3));
        assert_eq!(lines(&one.previous), [TaskId::from_random(1)]);
        assert_eq!(lines(&one.path), [2, 3].map(TaskId::from_random));
    }
}
