//! Copies what was committed from the log into the store's file, beside the writer: its syncs are
//! not for callers to wait for. The writer only adds what it committed meanwhile: while it commits all
//! the time, nobody else ever comes to the end of the log. Once all is copied the log is written from its
//! beginning again, over what is there, which a disk is much quicker to sync than a file that grows.
//! What somebody had deleted leaves the log, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::blocking;

/// After how many writes it is due.
const EVERY: usize = 2_000;

/// How long it stands in the way of readers and the writer at most, to empty the log.
const PATIENCE: Duration = Duration::from_millis(50);
/// Until it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The writer's side: counts, and says when it is due.
pub(super) struct Due {
    signal: mpsc::Sender<()>,
    written: usize,
    /// Nearly all is copied.
    copied: Arc<AtomicBool>,
}

impl Due {
    /// Starts copying with a connection of its own, until this is dropped.
    /// Whoever notifies the other half has the log emptied.
    pub(super) fn start(connection: Connection) -> (Self, Arc<Notify>) {
        let (signal, due) = mpsc::channel(1);
        let deleted = Arc::new(Notify::new());
        let copied = Arc::<AtomicBool>::default();
        tokio::spawn(run(connection, due, deleted.clone(), copied.clone()));
        (Self { signal, written: 0, copied }, deleted)
    }

    /// Whether the writer is to copy the rest, once. It takes as long as some commits.
    pub(super) fn is_nearly_copied(&self) -> bool {
        self.copied.swap(false, Ordering::Relaxed)
    }

    /// So many writes are in the log.
    pub(super) fn count(&mut self, writes: usize) {
        self.written += writes;
        if self.written >= EVERY {
            self.written = 0;
            // One that is waiting already will do.
            let _ = self.signal.try_send(());
        }
    }
}

async fn run(
    mut connection: Connection,
    mut due: mpsc::Receiver<()>,
    deleted: Arc<Notify>,
    copied: Arc<AtomicBool>,
) {
    loop {
        let is_emptied = tokio::select! {
            () = deleted.notified() => true,
            signal = due.recv() => match signal {
                Some(()) => false,
                None => return,
            },
        };
        let done = blocking(move || {
            let is_done = if is_emptied { empty(&connection) } else { copy(&connection) };
            Ok((connection, is_done))
        });
        match done.await {
            Ok((back, is_done)) => {
                connection = back;
                if !is_emptied {
                    copied.store(true, Ordering::Relaxed);
                }
                if !is_done {
                    sleep(AGAIN).await;
                    deleted.notify_one();
                }
            }
            Err(_) => return,
        }
    }
}

/// Waits for nobody: what a reader still needs stays in the log for the next one.
pub(super) fn copy(connection: &Connection) -> bool {
    let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = copied {
        tracing::warn!(%error, "the store's log cannot be copied into its file; the next attempt may");
    }
    true
}

/// Copies all of the log and cuts it to nothing. Whether nobody stood in the way.
fn empty(connection: &Connection) -> bool {
    let emptied = connection.busy_timeout(PATIENCE).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
    });
    match emptied {
        Ok(busy) => busy == 0,
        Err(error) => {
            tracing::warn!(%error, "the store's log cannot be emptied; it is tried again");
            false
        }
    }
}
