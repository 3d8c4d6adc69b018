//! The one writer: takes what has queued up, and commits it together.

use std::sync::Arc;

use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::{StoreError, Write, blocking};

/// Most writes in one transaction, so that the first does not wait for the thousandth.
const BATCH: usize = 256;

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
pub(super) async fn run(mut connection: Connection, mut queue: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let jobs = std::mem::take(&mut batch);
        let committed = blocking(move || {
            commit(&mut connection, jobs);
            Ok(connection)
        });
        match committed.await {
            Ok(back) => connection = back,
            // The thread panicked or the runtime is going down; every waiter learns of it, as the
            // jobs and the queue are gone.
            Err(_) => return,
        }
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
