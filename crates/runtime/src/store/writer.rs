//! The one writer: takes what has queued up, and commits it together.
//!
//! Callers who were told of one commit are on their way back with what comes next. A writer that
//! commits the first of it at once has the others wait for two syncs; so it waits for them, a
//! fraction of what a sync takes, and only when it has just committed.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::checkpoint::Due;
use super::{StoreError, Write, blocking};

/// Most writes in one transaction, so that the first does not wait for the thousandth.
const BATCH: usize = 256;
/// Between two looks at the queue while it fills.
const LOOK: Duration = Duration::from_micros(50);
/// After so many looks that found nothing, nobody else is coming.
const EMPTY_LOOKS: u32 = 2;
/// A commit that is faster than this is not worth waiting for others.
const FAST: Duration = Duration::from_micros(500);

/// A write, and who waits for it.
pub(super) struct Job {
    write: Write,
    done: Option<oneshot::Sender<Result<(), StoreError>>>,
}

impl Job {
    pub(super) fn acknowledged(write: Write) -> (Self, oneshot::Receiver<Result<(), StoreError>>) {
        let (done, wait) = oneshot::channel();
        (Self { write, done: Some(done) }, wait)
    }

    pub(super) fn silent(write: Write) -> Self {
        Self { write, done: None }
    }

    fn finish(self, outcome: Result<(), StoreError>) {
        match (self.done, outcome) {
            // Who no longer waits does not want to know.
            (Some(done), outcome) => drop(done.send(outcome)),
            (None, Err(error)) => tracing::error!(error = %error, write = ?self.write, "a record is lost"),
            (None, Ok(())) => {}
        }
    }
}

/// Writes until every handle is gone.
pub(super) async fn run(mut connection: Connection, mut queue: mpsc::Receiver<Job>, mut due: Due) {
    let mut jobs = Vec::new();
    let mut last = Commit { ended: Instant::now(), taken: Duration::ZERO };
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        let mut batch = std::mem::take(&mut jobs);
        let committed = blocking(move || {
            gather(&mut queue, &mut batch, last.patience());
            let began = Instant::now();
            let writes = batch.len();
            commit(&mut connection, batch);
            let ended = Instant::now();
            Ok((connection, queue, writes, Commit { ended, taken: ended - began }))
        });
        let writes;
        match committed.await {
            Ok(back) => (connection, queue, writes, last) = back,
            // The thread panicked or the runtime is going down; every waiter learns of it, as the
            // jobs and the queue are gone.
            Err(_) => return,
        }
        due.count(writes);
    }
}

/// When the last commit was, and how long it took.
#[derive(Clone, Copy)]
struct Commit {
    ended: Instant,
    taken: Duration,
}

impl Commit {
    /// How long to wait for others at most before the next one. Nobody comes back from a commit that
    /// is long over: who is alone is served at once.
    fn patience(self) -> Duration {
        let is_recent = self.ended.elapsed() < self.taken;
        if is_recent && self.taken >= FAST { self.taken / 2 } else { Duration::ZERO }
    }
}

/// Takes what comes in until nothing does.
fn gather(queue: &mut mpsc::Receiver<Job>, jobs: &mut Vec<Job>, patience: Duration) {
    let began = Instant::now();
    let mut empty = 0;
    while empty < EMPTY_LOOKS && jobs.len() < BATCH && began.elapsed() < patience {
        // A timer of the runtime's would be twenty times too coarse.
        thread::park_timeout(LOOK);
        let before = jobs.len();
        jobs.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(BATCH - before));
        empty = if jobs.len() == before { empty + 1 } else { 0 };
    }
}

/// Applies each job so that a bad one spoils itself alone, and tells everyone once the whole is on
/// disk.
fn commit(connection: &mut Connection, jobs: Vec<Job>) {
    match apply_all(connection, &jobs) {
        Ok(outcomes) => jobs.into_iter().zip(outcomes).for_each(|(job, outcome)| job.finish(outcome)),
        Err(error) => {
            jobs.into_iter().for_each(|job| job.finish(Err(StoreError::Sqlite(error.clone()))));
        }
    }
}

/// In a savepoint of its own, unless it needs none.
fn apply(
    transaction: &mut Transaction<'_>,
    write: &Write,
) -> Result<Result<(), StoreError>, rusqlite::Error> {
    if write.is_one_statement() {
        return Ok(write.apply(transaction));
    }
    let savepoint = transaction.savepoint()?;
    let outcome = write.apply(&savepoint);
    // A savepoint that is dropped is rolled back.
    if outcome.is_ok() {
        savepoint.commit()?;
    }
    Ok(outcome)
}

fn apply_all(
    connection: &mut Connection,
    jobs: &[Job],
) -> Result<Vec<Result<(), StoreError>>, Arc<rusqlite::Error>> {
    let mut transaction = connection.transaction()?;
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let outcome = apply(&mut transaction, &job.write)?;
        // A disk that is full takes back the whole transaction, and what follows would be none of it.
        if let Err(StoreError::Sqlite(error)) = &outcome
            && transaction.is_autocommit()
        {
            return Err(error.clone());
        }
        outcomes.push(outcome);
    }
    transaction.commit()?;
    Ok(outcomes)
}
