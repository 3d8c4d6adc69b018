//! The one writer: takes what has queued up, and commits it together.
//!
//! Callers who were told of one commit are on their way back with what comes next. A writer that
//! commits the first of it at once has the others wait for two syncs; so it waits for them, a
//! fraction of what a sync takes, and only when it has just committed. It waits longer with what
//! nobody outside waits for, which is mostly what becomes of the invocations it has just told of.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::checkpoint::{self, Due};
use super::{StoreError, Write, blocking};

/// Most writes in one transaction, so that the first does not wait for the thousandth.
const BATCH: usize = 256;
/// Between two looks at the queue while it fills; the kernel makes it twice that.
const LOOK: Duration = Duration::from_micros(50);
/// A commit that is faster than this is not worth having a caller wait for others.
const FAST: Duration = Duration::from_micros(500);
/// The longest that what no caller waits for is held back for one.
const MOST_HELD: Duration = Duration::from_millis(1);

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

    /// Whether a caller waits for it.
    fn is_callers(&self) -> bool {
        matches!(self.write, Write::Accept(_))
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
    let mut last = Commit { ended: Instant::now(), taken: Duration::ZERO, callers: 0, told: 0, writes: 0 };
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        let mut batch = std::mem::take(&mut jobs);
        let is_nearly_copied = due.is_nearly_copied();
        let committed = blocking(move || {
            gather(&mut queue, &mut batch, last);
            let (callers, told, writes) = (callers(&batch), told(&batch), batch.len());
            let began = Instant::now();
            commit(&mut connection, batch);
            let ended = Instant::now();
            if is_nearly_copied {
                checkpoint::copy(&connection);
            }
            Ok((connection, queue, Commit { ended, taken: ended - began, callers, told, writes }))
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
    /// How many callers' invocations were accepted, who may be back with their next request.
    callers: usize,
    /// How many of them had nothing else to wait for.
    told: usize,
    writes: usize,
}

impl Commit {
    /// How long to wait at most for those who were told, and after how many looks that found nothing
    /// nobody else is coming. Nobody comes back from a commit that is long over: who is alone is served
    /// at once.
    fn patience(self, a_caller_waits: bool) -> (Duration, u128) {
        let is_recent = self.ended.elapsed() < self.taken;
        if is_recent && !a_caller_waits && self.told > 0 {
            return (self.taken.min(MOST_HELD), u128::MAX);
        }
        let is_worth_it = self.callers > 0 && self.taken >= FAST;
        let patience = if is_recent && is_worth_it { self.taken / 2 } else { Duration::ZERO };
        // About a quarter of a commit.
        (patience, self.taken.as_micros() / (8 * LOOK.as_micros()) + 1)
    }
}

/// How many of them are what a caller waits for.
fn callers(jobs: &[Job]) -> usize {
    jobs.iter().filter(|job| job.is_callers()).count()
}

/// How many of those wait for nothing else.
fn told(jobs: &[Job]) -> usize {
    jobs.iter().filter(|job| matches!(&job.write, Write::Accept(new) if !new.started)).count()
}

/// Takes what comes in until those whom the last commit told are back, or nothing more comes.
fn gather(queue: &mut mpsc::Receiver<Job>, jobs: &mut Vec<Job>, last: Commit) {
    let began = Instant::now();
    let (patience, most_empty_looks) = last.patience(callers(jobs) > 0);
    let mut missing = last.callers.saturating_sub(callers(jobs));
    let mut empty = 0;
    while missing > 0 && empty < most_empty_looks && jobs.len() < BATCH && began.elapsed() < patience {
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
        Ok(outcomes) => {
            let (callers, others): (Vec<_>, Vec<_>) =
                jobs.into_iter().zip(outcomes).partition(|(job, _)| job.is_callers());
            // What the others go on with would come before the callers' answers.
            callers.into_iter().chain(others).for_each(|(job, outcome)| job.finish(outcome));
        }
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

    fn accept(started: bool) -> Job {
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
            started,
            idempotency: None,
            request: Request { headers: HeaderMap::new(), payload: Payload::InFile },
        })))
    }

    /// How many are taken of two callers who wait, beside this one, after a commit that took so long and
    /// told so many.
    async fn taken_beside(first: Job, taken: Duration, told: &[Job], pause: Duration) -> usize {
        let (sender, mut queue) = mpsc::channel(9);
        let (callers, told) = (callers(told), super::told(told));
        let last = Commit { ended: Instant::now(), taken, callers, told, writes: callers };
        for job in [accept(true), accept(true)] {
            sender.send(job).await.ok().unwrap();
        }
        tokio::time::advance(pause).await;
        let mut batch = vec![first];
        gather(&mut queue, &mut batch, last);
        batch.len() - 1
    }

    /// The same beside another caller.
    async fn taken_after(taken: Duration, callers: usize, pause: Duration) -> usize {
        let told: Vec<_> = (0..callers).map(|_| accept(true)).collect();
        taken_beside(accept(true), taken, &told, pause).await
    }

    #[tokio::test(start_paused = true)]
    async fn those_whom_the_last_commit_told_share_the_next_one() {
        let sync = Duration::from_millis(4);
        assert_eq!(taken_after(sync, 3, Duration::ZERO).await, 2);
        assert_eq!(taken_after(sync, 5, Duration::ZERO).await, 2, "it does not wait for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_callers_who_are_not_expected_back() {
        let sync = Duration::from_millis(4);
        assert_eq!(taken_after(sync, 0, Duration::ZERO).await, 0, "nobody was told");
        assert_eq!(taken_after(sync, 2, sync).await, 0, "it is long over");
        assert_eq!(taken_after(FAST / 2, 2, Duration::ZERO).await, 0, "a sync costs next to nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_caller_waits_for_waits_for_those_who_were_told() {
        let nothing = || Job::silent(Write::Nothing);
        let told = [accept(false), accept(false)];
        assert_eq!(taken_beside(nothing(), FAST / 2, &told, Duration::ZERO).await, 2);
        assert_eq!(taken_beside(nothing(), FAST / 2, &told, FAST).await, 0, "it is long over");
        // These have been told nothing yet.
        let waiting = [accept(true), accept(true)];
        assert_eq!(taken_beside(nothing(), FAST / 2, &waiting, Duration::ZERO).await, 0);
    }
}
