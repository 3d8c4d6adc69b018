//! Follows the journal of one session, from where the last reader of it ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::{IncarnationId, Timestamp};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Journals;
use super::file::{self, Piece, Start, Unreadable};
use super::lines::LineReader;
use super::watch::Watch;
use crate::key::SessionKey;
use crate::store::{JournalPosition, StoreError, TaskChanges, TaskUpdate, Write};

/// Between two looks at a journal, so that what a chatty agent says is written together.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a journal is looked at whatever the kernel says.
const POLL: Duration = Duration::from_secs(30);
/// How often, when the kernel says nothing.
const POLL_UNWATCHED: Duration = Duration::from_secs(1);
/// How soon it is looked at again after what it says could not be recorded, or read.
const AGAIN: Duration = Duration::from_secs(1);
/// Most bytes that are read of a journal once its session has ended.
const MOST_AT_THE_END: u64 = 256 << 20;

/// Which journal, and whose.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    /// The folder that the agent keeps it in.
    pub(crate) folder: PathBuf,
    pub(crate) incarnation: IncarnationId,
    pub(crate) key: SessionKey,
    /// When the session began.
    pub(crate) started_at: Timestamp,
}

/// Follows a journal until it is dropped or told to finish.
pub(crate) struct Follower {
    ending: CancellationToken,
    task: JoinHandle<Taken>,
}

/// How much of a journal was taken in by the end of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Whole,
    /// The rest cannot be read.
    InPart,
    /// The rest cannot be recorded now.
    Unwritten,
}

impl Follower {
    pub(crate) fn start(journals: Arc<Journals>, journal: Journal) -> Self {
        let ending = CancellationToken::new();
        let task = tokio::spawn(follow(journals, journal, ending.clone(), true));
        Self { ending, task }
    }

    /// The session has ended: returns once all that its agent wrote and that can be read is in the
    /// store. While there is no room for it, it is tried again.
    pub(crate) async fn finish(mut self) -> Taken {
        self.ending.cancel();
        // One that panicked has said so in the log.
        (&mut self.task).await.unwrap_or(Taken::InPart)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the journal of a session that ended without a follower, once.
pub(crate) async fn read_to_end(journals: Arc<Journals>, journal: Journal) -> Taken {
    let ended = CancellationToken::new();
    ended.cancel();
    follow(journals, journal, ended, false).await
}

/// Whether all of it was taken in by the end; one who `is_patient` waits for room.
async fn follow(
    journals: Arc<Journals>,
    journal: Journal,
    ending: CancellationToken,
    is_patient: bool,
) -> Taken {
    let Some(mut reader) = Reader::open(journals, journal).await else { return Taken::InPart };
    let mut watch: Option<Watch> = None;
    let mut read_at_the_end = 0;
    loop {
        if watch.is_none() && !ending.is_cancelled() {
            // Before the look, so that nothing is written in between.
            watch = reader.watch();
        }
        // Asked before the look, so that the last words are not missed.
        let ends = ending.is_cancelled();
        let look = reader.look().await;
        match (&look, ends) {
            (Look::More(bytes), true) => {
                read_at_the_end += bytes;
                if read_at_the_end > MOST_AT_THE_END {
                    reader.note_the_rest().await;
                    return Taken::Whole;
                }
                continue;
            }
            (Look::End, true) => return Taken::Whole,
            (Look::Failed, true) => return Taken::InPart,
            (Look::Unwritten, true) if !is_patient => return Taken::Unwritten,
            // What its tasks came to is not lost because the disk is full.
            (Look::Unwritten, true) => {
                sleep(AGAIN).await;
                continue;
            }
            (_, false) => {}
        }
        pause(&ending, sleep(PAUSE)).await;
        match look {
            Look::More(_) => {}
            Look::End => pause(&ending, news(watch.as_ref())).await,
            Look::Failed | Look::Unwritten => pause(&ending, sleep(AGAIN)).await,
        }
    }
}

/// Waits for something, or for the end.
async fn pause(ending: &CancellationToken, something: impl Future<Output = ()>) {
    tokio::select! {
        () = ending.cancelled() => {}
        () = something => {}
    }
}

async fn news(watch: Option<&Watch>) {
    match watch {
        Some(watch) => tokio::select! {
            () = watch.changed() => {}
            () = sleep(POLL) => {}
        },
        None => sleep(POLL_UNWATCHED).await,
    }
}

/// What one look at a journal came to.
enum Look {
    /// So many bytes; there are more.
    More(u64),
    End,
    Failed,
    /// What was read could not be recorded, and is read again.
    Unwritten,
}

struct Reader {
    journals: Arc<Journals>,
    journal: Journal,
    lines: LineReader,
    position: JournalPosition,
    told: Told,
}

/// What the timeline, or the log, says already.
#[derive(Default)]
struct Told {
    unreadable: bool,
    left_out: bool,
    anew: bool,
    store: bool,
}

impl Reader {
    async fn open(journals: Arc<Journals>, journal: Journal) -> Option<Self> {
        match journals.store.journal(journal.incarnation).await {
            Ok(position) => {
                let lines = LineReader::new(journal.started_at);
                Some(Self { journals, journal, lines, position, told: Told::default() })
            }
            Err(error) => {
                tracing::error!(
                    incarnation = %journal.incarnation, %error,
                    "nobody knows how far a task journal was read: it is not followed"
                );
                None
            }
        }
    }

    fn watch(&self) -> Option<Watch> {
        self.journals.watcher.watch(&self.journal.folder).ok().flatten()
    }

    /// Reads a piece, and has it written. What could not be written is read again.
    async fn look(&mut self) -> Look {
        let journals = self.journals.clone();
        // There is no end of turns: an error cannot be.
        let _turn = journals.turns.acquire().await;
        let piece = match self.read().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Look::End,
            Err(error) => {
                if !std::mem::replace(&mut self.told.unreadable, true) {
                    let detail = format!("the task journal cannot be read: {error}");
                    self.note("journal_unreadable", detail).await;
                }
                return Look::Failed;
            }
        };
        match piece.start {
            Start::Same => {}
            Start::Next => self.lines.begin_anew(),
            Start::Anew => self.begin_anew().await,
        }
        let now = self.journals.clock.timestamp();
        let taken = self.lines.take(&piece.bytes, now);
        if taken.left_out > 0 && !std::mem::replace(&mut self.told.left_out, true) {
            let (count, offset) = (taken.left_out, piece.position.offset);
            let detail = format!(
                "{count} lines of the task journal, at byte {offset} or behind it, are too long or no lines of a task \
                 journal: they are left out, as is all that follows of their kind"
            );
            self.note("journal_lines_left_out", detail).await;
        }
        if taken.consumed == 0 {
            return Look::End;
        }
        let consumed = taken.consumed as u64;
        let offset = piece.position.offset + consumed;
        let position = JournalPosition { offset, ..piece.position };
        match self.write(position, taken.updates, now).await {
            Ok(()) => {
                self.position = position;
                self.told.store = false;
            }
            Err(StoreError::Closed) => return Look::Failed,
            Err(error) => {
                if !std::mem::replace(&mut self.told.store, true) {
                    tracing::error!(incarnation = %self.journal.incarnation, %error, "cannot record tasks");
                }
                return Look::Unwritten;
            }
        }
        if piece.more || taken.more { Look::More(consumed) } else { Look::End }
    }

    async fn read(&self) -> Result<Option<Piece>, Unreadable> {
        let (folder, position) = (self.journal.folder.clone(), self.position);
        spawn_blocking(move || file::read(&folder, position)).await.map_err(std::io::Error::other)?
    }

    async fn write(
        &self,
        position: JournalPosition,
        updates: Vec<TaskUpdate>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let Journal { incarnation, key, .. } = self.journal.clone();
        let ends = updates.iter().any(|update| update.end.is_some());
        let changes = TaskChanges { incarnation, key, position, updates, at };
        self.journals.store.write(Write::Tasks(Box::new(changes))).await?;
        if ends {
            self.journals.tell(incarnation);
        }
        Ok(())
    }

    async fn begin_anew(&mut self) {
        self.lines.begin_anew();
        if !std::mem::replace(&mut self.told.anew, true) {
            let detail = "the task journal was cut or replaced: it is read from its beginning";
            self.note("journal_restarted", detail.to_owned()).await;
        }
    }

    async fn note_the_rest(&self) {
        let detail = format!(
            "the agent left more than {MOST_AT_THE_END} bytes of its task journal unread: the rest is left out"
        );
        self.note("journal_lines_left_out", detail).await;
    }

    async fn note(&self, event: &str, detail: String) {
        tracing::warn!(incarnation = %self.journal.incarnation, detail, "a task journal is not as it should be");
        self.journals.note(self.journal.incarnation, event, detail).await;
    }
}
