//! An invocation that has not ended: what has become of it so far, for any number of readers.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use agentcore_protocol::{IncarnationId, InvocationId, Timestamp};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::record::{Answer, End, Head, NewInvocation, Record, State};
use crate::key::SessionKey;
use crate::watched::Watched;

/// How much of the end of an answer is kept in memory once it is in a file, so that whoever follows
/// it need not read the file.
const TAIL: usize = 256 * 1024;

/// An invocation that runs, or has ended a moment ago.
pub(crate) struct Live {
    pub(crate) id: InvocationId,
    pub(crate) key: SessionKey,
    accepted_at: Timestamp,
    request_hash: Option<[u8; 32]>,
    /// Somebody wants it to end.
    pub(crate) cancelled: CancellationToken,
    tape: Watched<Tape>,
}

struct Tape {
    incarnation: IncarnationId,
    started_at: Option<Timestamp>,
    head: Option<Arc<Head>>,
    file: Option<Arc<File>>,
    /// The end of what was written, with where each piece begins.
    tail: VecDeque<(u64, Bytes)>,
    tail_bytes: usize,
    written: u64,
    synced: u64,
    end: Option<Arc<End>>,
}

/// How far somebody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upto {
    /// To what has come in.
    Written,
    /// To what would outlive a loss of power.
    Synced,
}

/// What is at a position of an answer.
pub(super) enum Next {
    Piece(Bytes),
    /// It is in the file, so many bytes of it.
    InFile(Arc<File>, usize),
    /// Nothing, for good. Whether the agent came to its end.
    End {
        complete: bool,
    },
}

impl Live {
    /// One that is about to be on record.
    pub(crate) fn new(new: &NewInvocation) -> Arc<Self> {
        let tape = Tape::new(new.incarnation, new.started.then_some(new.accepted_at));
        Arc::new(Self {
            id: new.id,
            key: new.key.clone(),
            accepted_at: new.accepted_at,
            request_hash: new.idempotency.as_ref().map(|idempotency| idempotency.request),
            cancelled: CancellationToken::new(),
            tape: Watched::new(tape),
        })
    }

    /// One that is on record, and that no agent has.
    pub(super) fn resume(record: &Record) -> Arc<Self> {
        Arc::new(Self {
            id: record.id,
            key: record.key.clone(),
            accepted_at: record.accepted_at,
            request_hash: record.request_hash,
            cancelled: CancellationToken::new(),
            tape: Watched::new(Tape::new(record.incarnation, None)),
        })
    }

    /// It is about to be given to an agent, and that is on disk.
    pub(crate) fn start(&self, incarnation: IncarnationId, at: Timestamp) {
        self.tape.edit(|tape| {
            tape.incarnation = incarnation;
            tape.started_at = Some(at);
        });
    }

    /// Whether an agent may have it.
    pub(crate) fn has_started(&self) -> bool {
        self.tape.lock().started_at.is_some()
    }

    /// The agent begins its answer.
    pub(super) fn begin(&self, head: Arc<Head>) {
        self.tape.edit(|tape| tape.head = Some(head));
    }

    /// More of the answer is there; in the file, if there is one.
    pub(super) fn add(&self, pieces: Vec<Bytes>) {
        self.tape.edit(|tape| {
            for piece in pieces {
                let at = tape.written;
                tape.written += piece.len() as u64;
                tape.tail_bytes += piece.len();
                tape.tail.push_back((at, piece));
            }
            tape.shorten();
        });
    }

    /// The answer is in a file from now on.
    pub(super) fn in_file(&self, file: Arc<File>) {
        self.tape.edit(|tape| {
            tape.file = Some(file);
            tape.shorten();
        });
    }

    /// The file that the answer is in, if it is in one.
    pub(super) fn file(&self) -> Option<Arc<File>> {
        self.tape.lock().file.clone()
    }

    /// So many bytes of the answer are on disk.
    pub(super) fn synced(&self, bytes: u64) {
        self.tape.edit(|tape| tape.synced = bytes);
    }

    /// It has ended, and that is on disk.
    pub(crate) fn end(&self, end: End) {
        self.tape.edit(|tape| {
            tape.synced = tape.written;
            tape.end = Some(Arc::new(end));
        });
    }

    /// What has come in, and what is on disk.
    pub(super) fn progress(&self) -> (u64, u64) {
        let tape = self.tape.lock();
        (tape.written, tape.synced)
    }

    /// The answer as it is, once the agent came to its end or did not.
    pub(super) fn answer(&self, complete: bool) -> Option<Answer> {
        let tape = self.tape.lock();
        let head = tape.head.clone()?;
        let body = tape.file.is_none().then(|| {
            let mut body = Vec::with_capacity(tape.tail_bytes);
            tape.tail.iter().for_each(|(_, piece)| body.extend_from_slice(piece));
            body.into()
        });
        Some(Answer { head, bytes: tape.written, complete, body })
    }

    /// What is known of it now.
    pub(crate) fn record(&self) -> Record {
        let tape = self.tape.lock();
        let end = tape.end.as_deref();
        let so_far = || {
            let head = tape.head.clone()?;
            Some(Answer { head, bytes: tape.written, complete: false, body: None })
        };
        Record {
            id: self.id,
            key: self.key.clone(),
            incarnation: tape.incarnation,
            state: match (end, tape.started_at) {
                (Some(end), _) => end.state,
                (None, Some(_)) => State::Running,
                (None, None) => State::Accepted,
            },
            accepted_at: self.accepted_at,
            started_at: tape.started_at,
            ended_at: end.map(|end| end.at),
            reason: end.and_then(|end| end.reason.clone()),
            request_hash: self.request_hash,
            answer: end.map_or_else(so_far, |end| end.answer.clone()),
        }
    }

    /// Returns once it has ended, and that is on disk.
    pub(crate) async fn ended(&self) -> Arc<End> {
        self.tape.wait(|tape| tape.end.clone()).await
    }

    /// Returns once the agent has begun its answer, or it has ended.
    pub(crate) async fn head(&self) -> Option<Arc<Head>> {
        self.tape.wait(|tape| (tape.head.is_some() || tape.end.is_some()).then(|| tape.head.clone())).await
    }

    /// The beginning of the agent's answer, once there is one.
    pub(crate) fn head_now(&self) -> Option<Arc<Head>> {
        self.tape.lock().head.clone()
    }

    /// Returns once there is more than `position`, or nothing more will be.
    pub(super) async fn next(&self, position: u64, upto: Upto) -> Next {
        self.tape.wait(|tape| tape.at(position, upto)).await
    }

    /// What is at `position` now, if anything is.
    pub(super) fn now(&self, position: u64, upto: Upto) -> Option<Next> {
        self.tape.lock().at(position, upto)
    }

    /// Returns once more is written than is synced.
    pub(super) async fn unsynced(&self) -> u64 {
        self.tape
            .wait(|tape| (tape.file.is_some() && tape.written > tape.synced).then_some(tape.written))
            .await
    }
}

impl Tape {
    fn new(incarnation: IncarnationId, started_at: Option<Timestamp>) -> Self {
        Self {
            incarnation,
            started_at,
            head: None,
            file: None,
            tail: VecDeque::new(),
            tail_bytes: 0,
            written: 0,
            synced: 0,
            end: None,
        }
    }

    /// Drops from memory what is in the file, but for its end.
    fn shorten(&mut self) {
        while self.file.is_some()
            && self.tail_bytes > TAIL
            && let Some((_, piece)) = self.tail.pop_front()
        {
            self.tail_bytes -= piece.len();
        }
    }

    fn at(&self, position: u64, upto: Upto) -> Option<Next> {
        let there = if upto == Upto::Written || self.file.is_none() { self.written } else { self.synced };
        // What is in no file is on disk with the end.
        let there = if upto == Upto::Synced && self.file.is_none() && self.end.is_none() { 0 } else { there };
        if position >= there {
            let end = self.end.as_deref()?;
            let complete = end.answer.as_ref().is_some_and(|answer| answer.complete);
            return Some(Next::End { complete });
        }
        let left = (there - position) as usize;
        let index = self.tail.partition_point(|(at, _)| *at <= position);
        let Some((at, piece)) = index.checked_sub(1).and_then(|index| self.tail.get(index)) else {
            let begin = self.tail.front().map_or(there, |(at, _)| *at);
            let file = self.file.clone()?;
            return Some(Next::InFile(file, left.min((begin - position) as usize)));
        };
        let from = (position - at) as usize;
        let until = piece.len().min(from + left);
        Some(Next::Piece(piece.slice(from..until)))
    }
}
