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
/// Between two looks at the queue while it fills; the kernel makes it twice that.
const LOOK: Duration = Duration::from_micros(50);
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
    let mut last = Commit { ended: Instant::now(), taken: Duration::ZERO, callers: 0, writes: 0 };
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        let mut batch = std::mem::take(&mut jobs);
        let committed = blocking(move || {
            gather(&mut queue, &mut batch, last);
            let (callers, writes) = (callers(&batch), batch.len());
            let began = Instant::now();
            commit(&mut connection, batch);
            let ended = Instant::now();
            Ok((connection, queue, Commit { ended, taken: ended - began, callers, writes }))
        });
        match committed.await {
            Ok(back) => (connection, queue, last) = back,
            // The thread panicked or the runtime is going down; every waiter learns of it, as the
            // jobs and the queue are gone.
            Err(_) => return,
        }
        due.count(last.writes);
    }
}

/// What is remembered of a commit.
#[derive(Clone, Copy)]
struct Commit {
    ended: Instant,
    taken: Duration,
    /// How many callers were told, who may be back with their next request.
    callers: usize,
    writes: usize,
}

impl Commit {
    /// How long to wait at most for those who were told. Nobody comes back from a commit that is long
    /// over: who is alone is served at once.
    fn patience(self) -> Duration {
        let is_recent = self.ended.elapsed() < self.taken;
        let is_worth_it = self.callers > 0 && self.taken >= FAST;
        if is_recent && is_worth_it { self.taken / 2 } else { Duration::ZERO }
    }

    /// After how many looks that found nothing nobody else is coming: about a quarter of a commit.
    fn most_empty_looks(self) -> u128 {
        self.taken.as_micros() / (8 * LOOK.as_micros()) + 1
    }
}

/// How many of them are what a caller waits for.
fn callers(jobs: &[Job]) -> usize {
    jobs.iter().filter(|job| matches!(job.write, Write::Accept(_))).count()
}

/// Takes what comes in until those whom the last commit told are back, or nothing more comes.
fn gather(queue: &mut mpsc::Receiver<Job>, jobs: &mut Vec<Job>, last: Commit) {
    let (began, patience) = (Instant::now(), last.patience());
    let mut missing = last.callers;
    let mut empty = 0;
    while missing > 0 && empty < last.most_empty_looks() && jobs.len() < BATCH && began.elapsed() < patience {
        // A timer of the runtime's would be twenty times too coarse.
        thread::park_timeout(LOOK);
        let before = jobs.len();
        jobs.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(BATCH - before));
        empty = if jobs.len() == before { empty + 1 } else { 0 };
        missing = missing.saturating_sub(callers(&jobs[before..]));
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

#[cfg(test)]
mod tests {
    use agentcore_protocol::{IncarnationId, InvocationId, SessionId, Timestamp};
    use axum::http::HeaderMap;
    use uuid::Uuid;

    use super::*;
    use crate::invocations::{NewInvocation, Payload, Request};
    use crate::key::{Principal, SessionKey};

    fn accept() -> Job {
        let key = SessionKey {
            principal: Principal::local(),
            agent: "writer".into(),
            session: SessionId::from(Uuid::from_u128(7)),
        };
        Job::silent(Write::Accept(Box::new(NewInvocation {
            id: InvocationId::try_from(Uuid::from_u128((7 << 76) | (8 << 60))).unwrap(),
            key,
            incarnation: IncarnationId::try_from(Uuid::from_u128(1)).unwrap(),
            accepted_at: Timestamp::from_unix_millis(1),
            started: false,
            idempotency: None,
            request: Request { headers: HeaderMap::new(), payload: Payload::InFile },
        })))
    }

    /// How many are taken of two callers who wait, after a commit that took so long.
    async fn taken_after(taken: Duration, callers: usize, pause: Duration) -> usize {
        let (sender, mut queue) = mpsc::channel(9);
        let last = Commit { ended: Instant::now(), taken, callers, writes: callers };
        for job in [accept(), accept()] {
            sender.send(job).await.ok().unwrap();
        }
        tokio::time::advance(pause).await;
        let mut batch = vec![Job::silent(Write::Nothing)];
        gather(&mut queue, &mut batch, last);
        batch.len() - 1
    }

    #[tokio::test(start_paused = true)]
    async fn those_whom_the_last_commit_told_share_the_next_one() {
        let sync = Duration::from_millis(4);
        assert_eq!(taken_after(sync, 2, Duration::ZERO).await, 2);
        assert_eq!(taken_after(sync, 5, Duration::ZERO).await, 2, "it does not wait for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_callers_who_are_not_expected_back() {
        let sync = Duration::from_millis(4);
        assert_eq!(taken_after(sync, 0, Duration::ZERO).await, 0, "nobody was told");
        assert_eq!(taken_after(sync, 2, sync).await, 0, "it is long over");
        assert_eq!(taken_after(FAST / 2, 2, Duration::ZERO).await, 0, "a sync costs next to nothing");
    }
}
