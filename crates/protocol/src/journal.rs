//! The task journal: one line of JSON for each change of a task.
//!
//! An agent appends; a reader follows from a byte offset that it keeps. A line counts once its
//! line feed is there, so a reader never takes half a line, and a line that was cut short by a
//! crash spoils itself alone.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::ids::TaskId;
use crate::task::{TaskFailure, present};

/// Name of the journal within the folder that the host names.
pub const FILE_NAME: &str = "tasks.jsonl";
/// Name of the journal that came before it, until its reader has all of it.
///
/// A journal that has grown to [`FULL_BYTES`] is renamed to this, unless there is one, and a new one
/// begun. Its reader finds the file that it knows under this name, reads it to its end, goes on with
/// the new one, and removes the old one when something of the new one is on record. The two are there
/// at the same time, so neither can be taken for the other by its inode.
pub const PREVIOUS_FILE_NAME: &str = "tasks.1.jsonl";
/// How large a journal becomes before another is begun.
pub const FULL_BYTES: u64 = 8 << 20;
/// Most bytes of a line, its line feed included. Longer ones are left out by readers.
pub const MAX_LINE_BYTES: usize = 4 << 20;
/// Most bytes of the message of an error in a line that would be too long otherwise.
const KEPT_MESSAGE: usize = 16 << 10;

/// One change of one task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "WireLine", into = "WireLine")]
pub struct JournalLine {
    /// When.
    pub at: Timestamp,
    /// Which task.
    pub task_id: TaskId,
    /// What changed.
    pub change: TaskChange,
}

/// What can happen to a task.
#[derive(Debug, Clone)]
pub enum TaskChange {
    /// It began.
    Started {
        /// What its author called it.
        name: String,
        /// What its author attached.
        metadata: Option<Box<RawValue>>,
    },
    /// It said how far it is.
    Progress(Box<RawValue>),
    /// It ended well. No result: there is none, or it was too large to keep.
    Completed(Option<Box<RawValue>>),
    /// It ended with an error.
    Failed(TaskFailure),
    /// It was ended.
    Cancelled,
}

/// Why a line of a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Not the JSON of a [`JournalLine`].
    #[error("not a line of a task journal: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl JournalLine {
    /// Appends the line, with its line feed, to `out`. What is too large for a line is left out:
    /// a result, metadata, the end of an error's message. `false`: there is nothing to be appended.
    pub fn encode(&self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        self.encode_whole(out);
        if out.len() - start <= MAX_LINE_BYTES {
            return true;
        }
        out.truncate(start);
        self.shortened().is_some_and(|shorter| shorter.encode(out))
    }

    /// The line without what can be large. `None`: nothing is left of it.
    fn shortened(&self) -> Option<Self> {
        let change = match &self.change {
            TaskChange::Started { name, metadata: Some(_) } => {
                TaskChange::Started { name: name.clone(), metadata: None }
            }
            TaskChange::Completed(Some(_)) => TaskChange::Completed(None),
            TaskChange::Failed(TaskFailure { kind, message }) if message.len() > KEPT_MESSAGE => {
                let message = message[..message.floor_char_boundary(KEPT_MESSAGE)].to_owned();
                TaskChange::Failed(TaskFailure { kind: kind.clone(), message })
            }
            _ => return None,
        };
        Some(Self { at: self.at, task_id: self.task_id, change })
    }

    fn encode_whole(&self, out: &mut Vec<u8>) {
        // JSON escapes line feeds, and RawValue holds valid JSON, which may be pretty-printed.
        let start = out.len();
        serde_json::to_writer(&mut *out, self).expect("a journal line is always JSON");
        for byte in &mut out[start..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        out.push(b'\n');
    }
}

/// What [`read`] found.
#[derive(Debug)]
pub struct Chunk {
    /// The complete lines, in order.
    pub lines: Vec<Result<JournalLine, JournalError>>,
    /// How many bytes they took: go on from here. What follows is an unfinished line.
    pub consumed: usize,
}

/// Reads the complete lines at the start of `bytes`.
pub fn read(bytes: &[u8]) -> Chunk {
    let consumed = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |last| last + 1);
    let lines = bytes[..consumed]
        .split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).map_err(JournalError::from))
        .collect();
    Chunk { lines, consumed }
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Event {
    Started,
    Progress,
    Completed,
    Failed,
    Cancelled,
}

/// The line as written: flat, because serde cannot carry a `RawValue` through a tagged enum.
#[derive(Serialize, Deserialize)]
struct WireLine {
    at: Timestamp,
    task_id: TaskId,
    event: Event,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    progress: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<TaskFailure>,
}

impl From<JournalLine> for WireLine {
    fn from(line: JournalLine) -> Self {
        let mut wire = Self {
            at: line.at,
            task_id: line.task_id,
            event: Event::Cancelled,
            name: None,
            metadata: None,
            progress: None,
            result: None,
            error: None,
        };
        match line.change {
            TaskChange::Started { name, metadata } => {
                (wire.event, wire.name, wire.metadata) = (Event::Started, Some(name), metadata);
            }
            TaskChange::Progress(progress) => {
                (wire.event, wire.progress) = (Event::Progress, Some(progress));
            }
            TaskChange::Completed(result) => {
                (wire.event, wire.result) = (Event::Completed, result);
            }
            TaskChange::Failed(error) => {
                (wire.event, wire.error) = (Event::Failed, Some(error));
            }
            TaskChange::Cancelled => {}
        }
        wire
    }
}

impl TryFrom<WireLine> for JournalLine {
    type Error = &'static str;

    fn try_from(wire: WireLine) -> Result<Self, Self::Error> {
        let change = match wire.event {
            Event::Started => TaskChange::Started {
                name: wire.name.ok_or("`started` without `name`")?,
                metadata: wire.metadata,
            },
            Event::Progress => TaskChange::Progress(wire.progress.ok_or("`progress` without `progress`")?),
            Event::Completed => TaskChange::Completed(wire.result),
            Event::Failed => TaskChange::Failed(wire.error.ok_or("`failed` without `error`")?),
            Event::Cancelled => TaskChange::Cancelled,
        };
        Ok(Self { at: wire.at, task_id: wire.task_id, change })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn line(change: TaskChange) -> JournalLine {
        JournalLine { at: Timestamp::from_unix_millis(7), task_id: TaskId::from_random(41), change }
    }

    fn encoded(lines: &[JournalLine]) -> Vec<u8> {
        let mut bytes = Vec::new();
        lines.iter().for_each(|line| assert!(line.encode(&mut bytes)));
        bytes
    }

    #[test]
    fn each_kind_of_line_has_its_documented_form() {
        let failure = TaskFailure { kind: "panic".into(), message: "boom\n".into() };
        let bytes = encoded(&[
            line(TaskChange::Started { name: "index".into(), metadata: Some(raw(r#"{"batch":100}"#)) }),
            line(TaskChange::Progress(raw("0.5"))),
            line(TaskChange::Completed(Some(raw(r#""done""#)))),
            line(TaskChange::Completed(None)),
            line(TaskChange::Failed(failure)),
            line(TaskChange::Cancelled),
        ]);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            concat!(
                r#"{"at":7,"task_id":42,"event":"started","name":"index","metadata":{"batch":100}}"#,
                "\n",
                r#"{"at":7,"task_id":42,"event":"progress","progress":0.5}"#,
                "\n",
                r#"{"at":7,"task_id":42,"event":"completed","result":"done"}"#,
                "\n",
                r#"{"at":7,"task_id":42,"event":"completed"}"#,
                "\n",
                r#"{"at":7,"task_id":42,"event":"failed","error":{"type":"panic","message":"boom\n"}}"#,
                "\n",
                r#"{"at":7,"task_id":42,"event":"cancelled"}"#,
                "\n",
            )
        );
    }

    #[test]
    fn a_null_that_was_written_is_read_back_as_null_and_not_as_nothing() {
        let bytes = encoded(&[
            line(TaskChange::Progress(raw("null"))),
            line(TaskChange::Completed(Some(raw("null")))),
            line(TaskChange::Completed(None)),
        ]);
        let read: Vec<_> = read(&bytes).lines.into_iter().map(|line| line.unwrap().change).collect();
        assert!(matches!(&read[0], TaskChange::Progress(progress) if progress.get() == "null"));
        assert!(matches!(&read[1], TaskChange::Completed(Some(result)) if result.get() == "null"));
        assert!(matches!(&read[2], TaskChange::Completed(None)));
    }

    #[test]
    fn half_a_line_waits_for_its_other_half() {
        let bytes = encoded(&[line(TaskChange::Cancelled), line(TaskChange::Cancelled)]);
        let cut = bytes.len() - 5;
        let first = read(&bytes[..cut]);
        assert_eq!(first.lines.len(), 1);
        let rest = read(&bytes[first.consumed..]);
        assert_eq!(rest.lines.len(), 1);
        assert_eq!(first.consumed + rest.consumed, bytes.len());
    }

    #[test]
    fn a_spoiled_line_spoils_itself_alone() {
        let mut bytes = b"{\"at\":1,\"task\n".to_vec();
        bytes.extend(encoded(&[line(TaskChange::Cancelled)]));
        let chunk = read(&bytes);
        assert!(chunk.lines[0].is_err());
        assert!(chunk.lines[1].is_ok());
    }

    #[test]
    fn what_is_too_large_for_a_line_is_left_out_and_the_task_ends_all_the_same() {
        let large = || raw(&format!("\"{}\"", "x".repeat(MAX_LINE_BYTES)));
        let failure = TaskFailure { kind: "E".into(), message: "é".repeat(MAX_LINE_BYTES) };
        let bytes = encoded(&[
            line(TaskChange::Started { name: "t".into(), metadata: Some(large()) }),
            line(TaskChange::Completed(Some(large()))),
            line(TaskChange::Failed(failure)),
        ]);
        let read: Vec<_> = read(&bytes).lines.into_iter().map(|line| line.unwrap().change).collect();
        assert!(matches!(&read[0], TaskChange::Started { metadata: None, .. }));
        assert!(matches!(&read[1], TaskChange::Completed(None)));
        assert!(matches!(&read[2], TaskChange::Failed(failure) if failure.message.len() == KEPT_MESSAGE));
        let mut nothing = Vec::new();
        assert!(!line(TaskChange::Progress(large())).encode(&mut nothing));
        assert!(nothing.is_empty());
    }

    #[test]
    fn pretty_printed_values_stay_on_one_line() {
        let bytes = encoded(&[line(TaskChange::Progress(raw("{\n  \"done\": 1\n}")))]);
        assert_eq!(bytes.iter().filter(|&&b| b == b'\n').count(), 1);
        assert!(read(&bytes).lines[0].is_ok());
    }

    proptest! {
        #[test]
        fn a_reader_that_is_cut_anywhere_sees_every_line_once(
            texts in proptest::collection::vec(any::<String>(), 1..8),
            cut in any::<proptest::sample::Index>(),
        ) {
            let lines: Vec<_> = texts
                .iter()
                .map(|text| line(TaskChange::Started { name: text.clone(), metadata: None }))
                .collect();
            let bytes = encoded(&lines);
            let first = read(&bytes[..cut.index(bytes.len())]);
            let second = read(&bytes[first.consumed..]);
            let seen: Vec<String> = first
                .lines
                .into_iter()
                .chain(second.lines)
                .map(|line| match line.unwrap().change {
                    TaskChange::Started { name, .. } => name,
                    other => panic!("{other:?}"),
                })
                .collect();
            prop_assert_eq!(seen, texts);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            prop_assert!(read(&bytes).consumed <= bytes.len());
        }
    }
}
