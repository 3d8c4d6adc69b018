//! The task journal: every change of a task, appended to a file that outlives the process.

use std::collections::VecDeque;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use agentcore_protocol::journal::{FILE_NAME, FULL_BYTES, JournalLine, PREVIOUS_FILE_NAME, TaskChange};

/// How large a buffer is kept from one line to the next.
const KEPT_BUFFER: usize = 64 << 10;
/// Most bytes of lines that wait for room.
const MOST_WAITING: usize = 16 << 20;
/// Between two attempts to write what waits.
const AGAIN: Duration = Duration::from_secs(1);

/// An open journal.
///
/// Lines are written at once, in the order of the changes: the kernel has them when `append`
/// returns, so they survive the process, if not the machine. What the host makes durable is the
/// host's to say. A file that is full is put aside for the host, which removes it once it has read
/// it; until then none other is, so that nothing is lost while there is no host.
///
/// What cannot be written, because the disk is full, waits in memory and is tried again every second.
pub(crate) struct Journal(Arc<Shared>);

struct Shared {
    path: PathBuf,
    previous: PathBuf,
    full: u64,
    state: Mutex<State>,
}

struct State {
    file: File,
    buffer: Vec<u8>,
    /// The last write stopped within a line: the next one starts on a line of its own.
    torn: bool,
    waiting: Waiting,
    /// A thread writes what waits, once it can.
    is_retried: bool,
}

impl Journal {
    /// Opens, or begins, the journal in `folder`.
    ///
    /// # Errors
    /// The folder cannot be made, or the file not be opened.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        Self::open_with(folder, FULL_BYTES)
    }

    fn open_with(folder: &Path, full: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(FILE_NAME);
        let file = append_to(&path)?;
        // An earlier process may have been cut off within a line.
        let torn = file.metadata()?.len() > 0;
        let waiting = Waiting::default();
        let state = State { file, buffer: Vec::new(), torn, waiting, is_retried: false };
        let previous = folder.join(PREVIOUS_FILE_NAME);
        Ok(Self(Arc::new(Shared { path, previous, full, state: Mutex::new(state) })))
    }

    pub(crate) fn append(&self, line: &JournalLine) {
        let mut state = self.0.lock();
        let mut buffer = std::mem::take(&mut state.buffer);
        buffer.clear();
        // One large result must not hold its memory for ever.
        buffer.shrink_to(KEPT_BUFFER);
        if !line.encode(&mut buffer) {
            tracing::warn!(task.id = %line.task_id, "a task's progress is too large for the journal: it is left out");
        } else if let Err(error) =
            self.0.write_waiting(&mut state).and_then(|()| self.0.write(&mut state, &buffer))
        {
            let is_progress = matches!(line.change, TaskChange::Progress(_));
            state.waiting.push(buffer.clone(), is_progress);
            self.retry(&mut state, &error);
        }
        state.buffer = buffer;
    }

    /// Has a thread write what waits.
    fn retry(&self, state: &mut State, error: &io::Error) {
        if state.is_retried {
            return;
        }
        tracing::error!(%error, "the task journal cannot be written: the host will not see what tasks do until it can");
        let shared = Arc::downgrade(&self.0);
        // Without a thread, the next line is the next attempt.
        state.is_retried =
            thread::Builder::new().name("journal".into()).spawn(move || keep_trying(&shared)).is_ok();
    }
}

/// Until all is written, or the journal is gone.
fn keep_trying(shared: &Weak<Shared>) {
    loop {
        thread::park_timeout(AGAIN);
        let Some(shared) = shared.upgrade() else { return };
        let mut state = shared.lock();
        if shared.write_waiting(&mut state).is_ok() {
            state.is_retried = false;
            return;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the lines that wait, in their order, as far as it can.
    fn write_waiting(&self, state: &mut State) -> io::Result<()> {
        while let Some(line) = state.waiting.pop() {
            if let Err(error) = self.write(state, &line.bytes) {
                state.waiting.put_back(line);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes a line into the file that is the journal now, which other processes of this agent may
    /// write, too: while one holds the lock, no other puts the file aside.
    fn write(&self, state: &mut State, line: &[u8]) -> io::Result<()> {
        let State { file, torn, .. } = state;
        let length = loop {
            file.lock()?;
            if let Some(length) = self.length_of_journal(file)? {
                break length;
            }
            // The lock goes with the file that it is on.
            *file = append_to(&self.path)?;
        };
        let begun = if *torn { file.write_all(b"\n") } else { Ok(()) };
        let written = begun.and_then(|()| file.write_all(line));
        // The part of a line that there was room for is taken back: the whole is written again.
        *torn = written.is_err() && (*torn || file.set_len(length).is_err());
        file.unlock()?;
        written
    }

    /// How long the file is, if it is the journal and has room. One that is full is put aside if it can
    /// be.
    fn length_of_journal(&self, file: &File) -> io::Result<Option<u64>> {
        let opened = file.metadata()?;
        let length = opened.len();
        let is_there = match std::fs::symlink_metadata(&self.path) {
            Ok(there) => is_same(&opened, &there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !is_there || length < self.full || self.previous.exists() {
            return Ok(is_there.then_some(length));
        }
        // What cannot be put aside grows on.
        let is_put_aside = std::fs::rename(&self.path, &self.previous).is_ok();
        Ok((!is_put_aside).then_some(length))
    }
}

/// Lines that wait until they can be written, the oldest first.
#[derive(Default)]
struct Waiting {
    lines: VecDeque<WaitingLine>,
    bytes: usize,
}

struct WaitingLine {
    bytes: Vec<u8>,
    is_progress: bool,
}

impl Waiting {
    /// Adds a line. Where there is no room, progress gives way, the oldest first: of progress the latest
    /// counts. What then has no room is left out.
    fn push(&mut self, bytes: Vec<u8>, is_progress: bool) {
        self.bytes += bytes.len();
        self.lines.push_back(WaitingLine { bytes, is_progress });
        while self.bytes > MOST_WAITING {
            let oldest = self.lines.iter().position(|line| line.is_progress);
            if oldest.is_none() {
                tracing::error!("too much waits for the task journal: what became of a task is left out");
            }
            if let Some(line) = self.lines.remove(oldest.unwrap_or(self.lines.len() - 1)) {
                self.bytes -= line.bytes.len();
            }
        }
    }

    fn pop(&mut self) -> Option<WaitingLine> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.bytes.len();
        Some(line)
    }

    fn put_back(&mut self, line: WaitingLine) {
        self.bytes += line.bytes.len();
        self.lines.push_front(line);
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
    use agentcore_protocol::journal::read;
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
        let journal = Journal::open_with(folder.path(), 1).unwrap();
        (1..=4).for_each(|number| journal.append(&line(number)));
        assert_eq!(lines(&journal.0.previous), [TaskId::from_random(1)]);
        assert_eq!(lines(&journal.0.path), [2, 3, 4].map(TaskId::from_random));
        std::fs::remove_file(&journal.0.previous).unwrap();
        journal.append(&line(5));
        assert_eq!(lines(&journal.0.previous), [2, 3, 4].map(TaskId::from_random));
        assert_eq!(lines(&journal.0.path), [TaskId::from_random(5)]);
    }

    #[test]
    fn a_journal_that_another_process_put_aside_is_not_written_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let one = Journal::open_with(folder.path(), 1).unwrap();
        let other = Journal::open(folder.path()).unwrap();
        one.append(&line(1));
        one.append(&line(2));
        other.append(&line(3));
        assert_eq!(lines(&one.0.previous), [TaskId::from_random(1)]);
        assert_eq!(lines(&one.0.path), [2, 3].map(TaskId::from_random));
    }

    #[test]
    fn what_cannot_be_written_is_written_once_it_can_be_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("journal");
        let journal = Journal::open(&inside).unwrap();
        journal.append(&line(1));
        std::fs::remove_dir_all(&inside).unwrap();
        journal.append(&line(2));
        journal.append(&line(3));
        std::fs::create_dir(&inside).unwrap();
        journal.append(&line(4));
        assert_eq!(lines(&journal.0.path), [2, 3, 4].map(TaskId::from_random));

        std::fs::remove_dir_all(&inside).unwrap();
        journal.append(&line(5));
        std::fs::create_dir(&inside).unwrap();
        // Nothing more is appended: a thread tries it again.
        while journal.0.lock().is_retried {
            thread::park_timeout(Duration::from_millis(10));
        }
        assert_eq!(lines(&journal.0.path), [TaskId::from_random(5)]);
    }

    #[test]
    fn progress_gives_way_to_what_became_of_tasks() {
        let mut waiting = Waiting::default();
        waiting.push(vec![0; MOST_WAITING / 2], true);
        waiting.push(vec![1; MOST_WAITING / 2], false);
        waiting.push(vec![2; 9], false);
        assert_eq!(waiting.lines.iter().map(|line| line.bytes[0]).collect::<Vec<_>>(), [1, 2]);
        waiting.push(vec![3; MOST_WAITING / 2], false);
        assert_eq!(waiting.lines.iter().map(|line| line.bytes[0]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(waiting.bytes, MOST_WAITING / 2 + 9);
    }
}
