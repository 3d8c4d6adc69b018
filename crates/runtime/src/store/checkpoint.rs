//! Copies what was committed from the log into the store's file, beside the writer: its syncs are
//! not for callers to wait for.

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::blocking;

/// After how many writes it is due.
const EVERY: usize = 2_000;

/// The writer's side: counts, and says when it is due.
pub(super) struct Due {
    signal: mpsc::Sender<()>,
    written: usize,
}

impl Due {
    /// Starts copying with a connection of its own, until this is dropped.
    pub(super) fn start(connection: Connection) -> Self {
        let (signal, due) = mpsc::channel(1);
        tokio::spawn(run(connection, due));
        Self { signal, written: 0 }
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

async fn run(mut connection: Connection, mut due: mpsc::Receiver<()>) {
    while due.recv().await.is_some() {
        let copied = blocking(move || {
            // It waits for nobody. What a reader still needs stays in the log for the next one.
            let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            if let Err(error) = copied {
                tracing::warn!(%error, "the store's log cannot be copied into its file; the next attempt may");
            }
            Ok(connection)
        });
        match copied.await {
            Ok(back) => connection = back,
            Err(_) => return,
        }
    }
}
