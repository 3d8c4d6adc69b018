//! From the bytes of a journal to what they change. Pure.

use std::collections::HashMap;

use agentcore_protocol::journal::{JournalLine, MAX_LINE_BYTES, TaskChange};
use agentcore_protocol::{TaskFailure, TaskId, Timestamp};

use crate::store::{TaskEnd, TaskStart, TaskUpdate};

/// Most tasks that change in one transaction, so that others may write soon.
const MOST_UPDATES: usize = 500;
/// Longest name of a task, and of a kind of error, in bytes.
const LONGEST_NAME: usize = 256;
/// Longest message of an error, in bytes.
const LONGEST_MESSAGE: usize = 16 << 10;

/// Reads lines, in pieces.
#[derive(Debug)]
pub(super) struct LineReader {
    /// When the session began: no task of it began before.
    earliest: Timestamp,
    /// Within a line that is too long.
    skipping: bool,
}

/// What a piece of a journal came to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) updates: Vec<TaskUpdate>,
    /// How many bytes it took; the next piece begins behind them.
    pub(super) consumed: usize,
    /// There are whole lines left.
    pub(super) more: bool,
    /// Lines that cannot be read, or are too long.
    pub(super) left_out: u64,
}

impl LineReader {
    pub(super) fn new(earliest: Timestamp) -> Self {
        Self { earliest, skipping: false }
    }

    /// Takes the whole lines at the beginning of `bytes`, as many as one transaction takes.
    pub(super) fn take(&mut self, bytes: &[u8], now: Timestamp) -> Taken {
        let mut taken = Taken::default();
        let mut places = HashMap::new();
        while let Some(length) = line_end(&bytes[taken.consumed..]) {
            if taken.updates.len() >= MOST_UPDATES {
                taken.more = true;
                return taken;
            }
            let line = &bytes[taken.consumed..taken.consumed + length];
            taken.consumed += length;
            if std::mem::take(&mut self.skipping) || line == b"\n" {
                continue;
            }
            match serde_json::from_slice::<JournalLine>(line) {
                Ok(line) if length <= MAX_LINE_BYTES => {
                    let line = JournalLine { at: line.at.clamp(self.earliest.min(now), now), ..line };
                    merge(&mut taken.updates, &mut places, line);
                }
                _ => taken.left_out += 1,
            }
        }
        let rest = bytes.len() - taken.consumed;
        if rest >= MAX_LINE_BYTES || (self.skipping && rest > 0) {
            taken.left_out += u64::from(!self.skipping);
            self.skipping = true;
            taken.consumed = bytes.len();
        }
        taken
    }

    /// Begins another file.
    pub(super) fn begin_anew(&mut self) {
        self.skipping = false;
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes).map(|at| at + 1)
}

/// Adds a line to what came before it of the same task.
fn merge(updates: &mut Vec<TaskUpdate>, places: &mut HashMap<TaskId, usize>, line: JournalLine) {
    let JournalLine { at, task_id, change } = line;
    let place = *places.entry(task_id).or_insert_with(|| {
        updates.push(TaskUpdate { task_id, started: None, progress: None, end: None });
        updates.len() - 1
    });
    let update = &mut updates[place];
    if update.end.is_some() {
        return;
    }
    match change {
        TaskChange::Started { name, metadata } => {
            update.started.get_or_insert(TaskStart { at, name: cut(name, LONGEST_NAME), metadata });
        }
        TaskChange::Progress(progress) => update.progress = Some((at, progress)),
        TaskChange::Completed(result) => update.end = Some((at, TaskEnd::Completed(result))),
        TaskChange::Failed(TaskFailure { kind, message }) => {
            let failure =
                TaskFailure { kind: cut(kind, LONGEST_NAME), message: cut(message, LONGEST_MESSAGE) };
            update.end = Some((at, TaskEnd::Failed(failure)));
        }
        TaskChange::Cancelled => update.end = Some((at, TaskEnd::Cancelled)),
    }
}

fn cut(mut text: String, longest: usize) -> String {
    text.truncate(text.floor_char_boundary(longest));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentcore_protocol::journal;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_000);

    fn reader() -> LineReader {
        LineReader::new(Timestamp::from_unix_millis(10))
    }

    fn line(task: u64, change: TaskChange) -> Vec<u8> {
        let mut bytes = Vec::new();
        let at = Timestamp::from_unix_millis(500);
        JournalLine { at, task_id: TaskId::from_random(task), change }.encode(&mut bytes);
        bytes
    }

    fn started(task: u64) -> Vec<u8> {
        line(task, TaskChange::Started { name: "t".into(), metadata: None })
    }

    fn progress(task: u64, value: u64) -> Vec<u8> {
        line(task, TaskChange::Progress(RawValue::from_string(value.to_string()).unwrap()))
    }

    #[test]
    fn of_many_reports_of_progress_the_latest_counts() {
        let bytes = [started(1), progress(1, 1), started(2), progress(1, 2), progress(1, 3)].concat();
        let taken = reader().take(&bytes, NOW);
        assert_eq!((taken.updates.len(), taken.consumed, taken.left_out), (2, bytes.len(), 0));
        assert_eq!(taken.updates[0].progress.as_ref().unwrap().1.get(), "3");
        assert!(taken.updates[1].progress.is_none() && taken.updates[1].started.is_some());
    }

    #[test]
    fn after_its_end_nothing_happens_to_a_task() {
        let bytes = [line(1, TaskChange::Cancelled), line(1, TaskChange::Completed(None)), progress(1, 1)];
        let taken = reader().take(&bytes.concat(), NOW);
        assert!(matches!(taken.updates[0].end, Some((_, TaskEnd::Cancelled))));
        assert!(taken.updates[0].progress.is_none());
    }

    #[test]
    fn times_are_between_the_sessions_start_and_now() {
        let future = r#"{"at":18446744073709551615,"task_id":1,"event":"started","name":"t"}"#;
        let past = r#"{"at":0,"task_id":2,"event":"started","name":"t"}"#;
        let taken = reader().take(format!("{future}\n{past}\n").as_bytes(), NOW);
        let times: Vec<_> =
            taken.updates.iter().map(|update| update.started.as_ref().unwrap().at.unix_millis()).collect();
        assert_eq!(times, [1_000, 10]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_in_pieces_and_counted_once() {
        let mut reader = reader();
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        let taken = reader.take(&long, NOW);
        assert_eq!((taken.consumed, taken.left_out), (long.len(), 1));
        let taken = reader.take(b"still the same line", NOW);
        assert_eq!((taken.consumed, taken.left_out), (19, 0));
        let taken = reader.take(&[b"its end\n".to_vec(), started(1)].concat(), NOW);
        assert_eq!((taken.updates.len(), taken.left_out), (1, 0));
    }

    #[test]
    fn texts_are_cut_to_a_length_that_people_read() {
        let failure = TaskFailure { kind: "é".repeat(1_000), message: "é".repeat(100_000) };
        let bytes = [
            line(1, TaskChange::Started { name: "n".repeat(1_000), metadata: None }),
            line(1, TaskChange::Failed(failure)),
        ];
        let taken = reader().take(&bytes.concat(), NOW);
        assert_eq!(taken.updates[0].started.as_ref().unwrap().name.len(), LONGEST_NAME);
        let Some((_, TaskEnd::Failed(failure))) = &taken.updates[0].end else { panic!("it failed") };
        assert_eq!((failure.kind.len(), failure.message.len()), (LONGEST_NAME, LONGEST_MESSAGE));
    }

    #[test]
    fn many_tasks_take_many_transactions() {
        let bytes: Vec<u8> = (0..MOST_UPDATES as u64 + 1).flat_map(started).collect();
        let mut reader = reader();
        let first = reader.take(&bytes, NOW);
        assert!(first.more && first.updates.len() == MOST_UPDATES);
        let second = reader.take(&bytes[first.consumed..], NOW);
        assert!(!second.more && second.updates.len() == 1);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_stand_still(pieces: Vec<Vec<u8>>) {
            let mut reader = reader();
            for piece in &pieces {
                let taken = reader.take(piece, NOW);
                prop_assert!(taken.consumed <= piece.len());
                prop_assert!(taken.consumed > 0 || !piece.contains(&b'\n'));
            }
        }

        #[test]
        fn the_same_is_taken_wherever_a_journal_is_cut(
            tasks in prop::collection::vec((0u64..5, 0u64..9), 1..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes: Vec<u8> =
                tasks.iter().flat_map(|(task, value)| [started(*task), progress(*task, *value)].concat()).collect();
            let last = |updates: &[TaskUpdate]| -> HashMap<TaskId, String> {
                let told = |update: &TaskUpdate| Some((update.task_id, update.progress.as_ref()?.1.to_string()));
                updates.iter().filter_map(told).collect()
            };
            let whole = last(&reader().take(&bytes, NOW).updates);
            let mut reader = reader();
            let first = reader.take(&bytes[..cut.index(bytes.len())], NOW);
            let second = reader.take(&bytes[first.consumed..], NOW);
            let mut both = last(&first.updates);
            both.extend(last(&second.updates));
            prop_assert_eq!(both, whole);
            prop_assert_eq!(journal::read(&bytes).consumed, first.consumed + second.consumed);
        }
    }
}
