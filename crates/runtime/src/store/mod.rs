//! The host's durable records, in SQLite.
//!
//! One writer commits whatever has queued up in one transaction: an acknowledged write is on disk,
//! and many of them share one flush. Reads have a connection of their own. The statements are in
//! `write.rs` and `read.rs`; nothing else in the host knows that this is SQLite.

mod agents;
mod checkpoint;
mod conditions;
mod invocations;
mod read;
mod record;
mod runtimes;
mod schema;
mod tasks;
mod write;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::sleep;

use checkpoint::Due;
use schema::Connections;
use writer::Job;

pub(crate) use invocations::Kept;
pub(crate) use read::SessionFilter;
pub(crate) use record::{Change, IncarnationRecord, NewIncarnation, Phase, TimelineEntry};
pub(crate) use tasks::{
    JournalPosition, RecordedTask, TaskChanges, TaskEnd, TaskFilter, TaskStart, TaskState, TaskUpdate,
};
pub(crate) use write::Write;

/// Writes that may wait for the writer; who comes later waits to hand over.
const QUEUE: usize = 1_024;

/// Between two attempts to write what has to be written.
const AGAIN: Duration = Duration::from_secs(1);

/// Why the store fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no.
    #[error("the store fails: {0}")]
    Sqlite(Arc<rusqlite::Error>),
    /// The file was written by a newer version.
    #[error(
        "the store has version {found}, and this host knows versions up to {known}: use the newer host, or another \
         state folder"
    )]
    Newer {
        /// The file's version.
        found: i64,
        /// The newest one known.
        known: i64,
    },
    /// What is in the file is not what this host writes.
    #[error("the store holds a record that cannot be read: {0}")]
    Malformed(String),
    /// The file cannot be protected.
    #[error("cannot protect the store: {0}")]
    Protect(io::Error),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    fn code(&self) -> Option<rusqlite::ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            _ => None,
        }
    }

    /// Whether there is no room on the disk.
    pub(crate) fn is_full(&self) -> bool {
        self.code() == Some(rusqlite::ErrorCode::DiskFull)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

/// A handle to the store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    writer: mpsc::Sender<Job>,
    reader: Arc<Mutex<Connection>>,
    /// Somebody had something deleted.
    deleted: Arc<Notify>,
}

impl Store {
    /// Opens the store in `file`, and makes or brings it up to date if need be.
    pub(crate) async fn open(file: &Path) -> Result<Self, StoreError> {
        let file = file.to_owned();
        let Connections { write, read, checkpoint } = blocking(move || schema::open(&file)).await?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (due, deleted) = Due::start(checkpoint);
        tokio::spawn(writer::run(write, queue, due));
        Ok(Self { writer: jobs, reader: Arc::new(Mutex::new(read)), deleted })
    }

    /// Writes, and returns once it is on disk.
    pub(crate) async fn write(&self, write: Write) -> Result<(), StoreError> {
        let (job, done) = Job::acknowledged(write);
        self.writer.send(job).await.map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)?
    }

    /// Writes until it is written, or the store is closed: what was acknowledged, or has happened, is
    /// not given up because a disk is full.
    pub(crate) async fn write_until_done(&self, mut write: impl FnMut() -> Write) {
        loop {
            match self.write(write()).await {
                Ok(()) | Err(StoreError::Closed) => return,
                Err(error) => tracing::error!(
                    error = %error, "cannot record what has happened; it is tried again every second"
                ),
            }
            sleep(AGAIN).await;
        }
    }

    /// Has what was deleted leave the log, too, in a moment. In the file it is overwritten already.
    pub(crate) fn leave_no_trace(&self) {
        self.deleted.notify_one();
    }

    /// Hands a write over, without waiting until it is on disk. Writes keep their order.
    pub(crate) async fn enqueue(&self, write: Write) {
        // Only a closed store refuses, and then the host is going down.
        let _ = self.writer.send(Job::silent(write)).await;
    }

    /// Returns once everything that was handed over before is on disk.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.write(Write::Nothing).await
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // Its turn is awaited here: a thread for each of those who wait would cost more than the queries.
        let reader = self.reader.clone().lock_owned().await;
        blocking(move || query(&reader)).await
    }
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
}

#[cfg(test)]
mod tests;
