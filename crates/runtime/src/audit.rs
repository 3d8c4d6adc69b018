//! Who did what: one line of JSON for every request that reaches an agent, changes something, or is
//! refused, in a file of the state folder.
//!
//! It holds no payload and no secret. Requests do not wait for it: a bounded queue leads to a thread
//! that writes, and what does not fit is counted in the log itself.

mod file;
mod record;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use file::{append, files};
pub use record::AuditRecord;

use crate::rate::TokenBucket;
use crate::time::HostClock;
use file::AuditFile;

/// Records that may wait to be written.
const WAITING: usize = 8_192;
/// Most records that are written at once.
const BATCH: usize = 1_024;
/// How long a record waits for others to be written with it. A write for each would take more of the
/// processor than the request that it tells of.
const GATHER: Duration = Duration::from_millis(10);
/// How long lost records stay untold where nothing else is recorded.
const LOST_PATIENCE: Duration = Duration::from_secs(5);
/// Refused strangers that are written down per second: their attempts must not push out what others did.
const STRANGERS_PER_SECOND: u32 = 50;

/// How much of the audit log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditOptions {
    /// Bytes of a file, after which the next one is begun.
    pub file_bytes: u64,
    /// Files, the current one among them. The oldest goes first.
    pub files: u32,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { file_bytes: 32 << 20, files: 8 }
    }
}

/// Takes records. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AuditLog {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
    strangers: Arc<Mutex<TokenBucket>>,
    clock: HostClock,
}

enum Message {
    Record(Box<AuditRecord>),
    /// Answered once all that came before is written.
    Flush(SyncSender<()>),
}

impl AuditLog {
    /// The log of the state folder `state`, after what it has already.
    pub(crate) fn open(state: &Path, options: AuditOptions, clock: HostClock) -> io::Result<Self> {
        let file = AuditFile::open(state, options)?;
        let (queue, inbox) = sync_channel(WAITING);
        let lost = Arc::<AtomicU64>::default();
        let writer = Writer { file, lost: lost.clone(), clock: clock.clone() };
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&inbox))?;
        let strangers = Arc::new(Mutex::new(TokenBucket::full(STRANGERS_PER_SECOND, clock.now())));
        Ok(Self { queue, lost, strangers, clock })
    }

    /// Takes a record of now; never waits.
    pub(crate) fn record(&self, record: AuditRecord) {
        let record = AuditRecord { time: self.clock.timestamp(), ..record };
        let is_strangers = record.principal.is_none();
        if (is_strangers && !self.has_room_for_stranger())
            || self.queue.try_send(Message::Record(Box::new(record))).is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn has_room_for_stranger(&self) -> bool {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).take(self.clock.now())
    }

    /// Returns once everything that was taken is written.
    pub(crate) async fn flush(&self) {
        let queue = self.queue.clone();
        // Waiting for the writer is for a thread that may.
        let flushed = tokio::task::spawn_blocking(move || {
            let (done, wait) = sync_channel(1);
            let _ = queue.send(Message::Flush(done));
            let _ = wait.recv();
        });
        let _ = flushed.await;
    }
}

/// Writes until nobody records any more.
struct Writer {
    file: AuditFile,
    lost: Arc<AtomicU64>,
    clock: HostClock,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let mut lines = Lines::default();
            let mut flushed = match inbox.recv_timeout(LOST_PATIENCE) {
                Ok(first) => {
                    if matches!(first, Message::Record(_)) {
                        // Not in `recv`: whoever records meanwhile would have to wake this thread.
                        thread::park_timeout(GATHER);
                    }
                    lines.add(first)
                }
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            while flushed.is_none() && lines.count < BATCH as u64 {
                let Ok(next) = inbox.try_recv() else { break };
                flushed = lines.add(next);
            }
            self.write(lines);
            if let Some(flushed) = flushed {
                let _ = flushed.send(());
            }
        }
    }

    fn write(&mut self, mut lines: Lines) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            lines.add(Message::Record(Box::new(AuditRecord::lost(lost, self.clock.timestamp()))));
        }
        if lines.count == 0 {
            return;
        }
        if let Err(error) = self.file.write(&lines.bytes) {
            tracing::error!(error = %error, lines = lines.count, "the audit log cannot be written");
            // The line that told of those was lost with them.
            self.lost.fetch_add(lost + lines.count - u64::from(lost > 0), Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    count: u64,
}

impl Lines {
    /// Adds a record; gives back whom to tell once it is written.
    fn add(&mut self, message: Message) -> Option<SyncSender<()>> {
        match message {
            Message::Record(record) => {
                self.bytes.extend_from_slice(&record.line());
                self.count += 1;
                None
            }
            Message::Flush(flushed) => Some(flushed),
        }
    }
}

/// The current file of the log of a state folder.
pub fn path(state: &Path) -> PathBuf {
    state.join("audit.jsonl")
}

#[cfg(test)]
mod tests;
