//! The task journal: every change of a task, appended to a file that outlives the process.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use agentcore_protocol::journal::{FILE_NAME, JournalLine};

/// How large a buffer is kept from one line to the next.
const KEPT_BUFFER: usize = 64 << 10;

/// An open journal.
///
/// Lines are written at once, in the order of the changes: the kernel has them when `append`
/// returns, so they survive the process, if not the machine. What the host makes durable is the
/// host's to say.
pub(crate) struct Journal {
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
        let file = OpenOptions::new().append(true).create(true).open(folder.join(FILE_NAME))?;
        // An earlier process may have been cut off within a line.
        let torn = file.metadata()?.len() > 0;
        Ok(Self {
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
        let written = file.write_all(buffer);
        *torn = written.is_err();
        match written {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, "the task journal cannot be written: the host will not see what tasks do until it can");
            }
            Err(_) => {}
        }
    }
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

        let line = |n| JournalLine {
            at: Timestamp::default(),
            task_id: TaskId::from_random(n),
            change: TaskChange::Cancelled,
        };
        let journal = Journal::open(folder.path()).unwrap();
        journal.append(&line(1));
        journal.append(&line(2));

        let lines = read(&std::fs::read(&path).unwrap()).lines;
        let good: Vec<_> = lines.into_iter().flatten().map(|line| line.task_id).collect();
        assert_eq!(good, [TaskId::from_random(1), TaskId::from_random(2)]);
    }
}
