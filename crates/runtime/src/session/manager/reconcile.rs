//! Brings the store, the folders and the actors into line. It runs when a host starts and every
//! now and then after: recovery is the normal loop.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::{IncarnationId, Timestamp};
use agentcore_sandbox::{Adopted as Found, Exit, IncarnationFolder, Sandbox, StopSignal, remove_tree};
use dashmap::mapref::entry::Entry;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::task::spawn_blocking;

use super::{Begun, Manager};
use crate::journal::{Journal, Taken, read_to_end};
use crate::logs;
use crate::options::Retention;
use crate::session::actor::{Actor, whole};
use crate::session::leftovers;
use crate::session::lifecycle::Adopted;
use crate::session::reason::{StopKind, StopReason, describe_exit};
use crate::store::{Change, IncarnationRecord, Phase, SessionFilter, StoreError, TimelineEntry, Write};

/// How often the loop runs.
const INTERVAL: Duration = Duration::from_secs(30);
/// How many incarnations are looked at together.
const TOGETHER: usize = 16;
/// How long an orphan may take to die.
const ORPHAN_GRACE: Duration = Duration::from_secs(10);
/// A record younger than this may be its actor's first, which the loop must not judge.
const SETTLED: Duration = Duration::from_secs(5);
/// How much of the end of a log explains an exit that nobody saw.
const LAST_WORDS: usize = 4 * 1024;

/// Why a round of the loop fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read the incarnations' folders: {0}")]
    Folders(#[from] io::Error),
}

impl Manager {
    /// Goes on with what an earlier host left. Nothing is served before this returns.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<(), ReconcileError> {
        self.adopt_all(Timestamp::from_unix_millis(u64::MAX)).await?;
        self.sweep().await
    }

    /// Runs the loop for ever.
    pub(crate) async fn keep_in_line(self: Arc<Self>, retention: Retention) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = self.round(retention).await {
                tracing::error!(error = %error, "cannot reconcile");
            }
        }
    }

    async fn round(self: &Arc<Self>, retention: Retention) -> Result<(), ReconcileError> {
        let now = self.environment.clock.timestamp().unix_millis();
        let settled = now.saturating_sub(SETTLED.as_millis() as u64);
        self.adopt_all(Timestamp::from_unix_millis(settled)).await?;
        self.environment.store.write(Write::Prune(retention)).await?;
        let now = self.environment.clock.timestamp();
        let own = self.agents().into_iter().filter_map(|agent| {
            let own = agent.definition.retention?;
            Some((agent.name.to_string(), retention.of(Some(own))))
        });
        let own = own.collect();
        self.environment.store.write(Write::PruneTasks { retention, own, now }).await?;
        self.sweep().await
    }

    /// Finds out what became of every incarnation that is on record as living, began before
    /// `before`, and has no actor.
    async fn adopt_all(self: &Arc<Self>, before: Timestamp) -> Result<(), ReconcileError> {
        // Seen before the records are read: who had an actor then is not judged by a record that
        // the actor may have changed since.
        let actors: HashSet<IncarnationId> = self.living.iter().map(|session| *session.key()).collect();
        let records = self.environment.store.incarnations(SessionFilter::living()).await?;
        // Newest first: of a session with two records as if current, as a kill at the wrong moment
        // leaves them, the newer one is.
        let mut seen = HashSet::new();
        let lost = records.into_iter().filter_map(|record| {
            let is_newest = seen.insert(record.begun.key.clone());
            let is_lost = !actors.contains(&record.begun.id) && record.begun.started_at < before;
            is_lost.then_some((record, is_newest))
        });
        let adopted = lost.map(|(record, is_newest)| self.adopt(record, is_newest));
        stream::iter(adopted).for_each_concurrent(TOGETHER, |adopted| adopted).await;
        Ok(())
    }

    async fn adopt(self: &Arc<Self>, record: IncarnationRecord, is_newest: bool) {
        let folder = self.environment.incarnations.join(&record.begun.folder);
        match self.environment.kind.adopt(&folder).await {
            Ok(Found::Running(sandbox)) => self.take_over(record, sandbox, is_newest),
            Ok(Found::Exited(exit)) => self.bury(record, Some(exit), &folder).await,
            Ok(Found::Gone) => self.bury(record, None, &folder).await,
            Err(error) => tracing::error!(
                incarnation = %record.begun.id, folder = %folder.display(), error = %error,
                "cannot find out what became of a session; it is looked at again"
            ),
        }
    }

    /// It still runs: an actor takes it over.
    fn take_over(self: &Arc<Self>, record: IncarnationRecord, sandbox: Arc<dyn Sandbox>, is_newest: bool) {
        self.note_network(sandbox.network());
        let IncarnationRecord { begun, now } = record;
        let clock = &self.environment.clock;
        let folder = self.environment.incarnations.join(&begun.folder);
        let key = begun.key.clone();
        let begun = Begun {
            key: begun.key,
            incarnation: begun.id,
            limits: begun.limits,
            started_at: begun.started_at,
        };
        let rules = self.rules(begun.limits);
        let (session, inbox) = self.handle(begun, folder, None, now.phase);
        // Before anybody can find the session: a request may come in before its actor first runs.
        let _ = session.sandbox.set(sandbox.clone());
        let mut left = match now.phase {
            Phase::Starting => Adopted::Starting,
            Phase::Active | Phase::Idle => {
                Adopted::Running { idle_since: now.idle_since.map(|since| clock.moment_of(since)) }
            }
            Phase::Stopping | Phase::Stopped => Adopted::Stopping(
                now.reason
                    .clone()
                    .unwrap_or_else(|| StopReason::new(StopKind::HostLost, "it was being stopped")),
            ),
        };
        if !is_newest && now.phase.is_current() {
            let why = "a newer incarnation of the same session is current";
            left = Adopted::Stopping(StopReason::new(StopKind::HostLost, why));
        }
        let is_whole = if self.environment.require_walls { whole(sandbox.shortfall()) } else { Ok(()) };
        if let (Err(why), true) = (is_whole, now.phase.is_current()) {
            left = Adopted::Stopping(StopReason::new(StopKind::StopRequested, why));
        }
        if !matches!(left, Adopted::Stopping(_)) {
            // While the host serves, a caller may have begun one since the records were read.
            match self.current.entry(key) {
                Entry::Vacant(place) => drop(place.insert(session.clone())),
                Entry::Occupied(_) => {
                    let why = "a newer incarnation of the same session began";
                    left = Adopted::Stopping(StopReason::new(StopKind::HostLost, why));
                }
            }
        }
        tracing::info!(session.id = %session.key.session, incarnation = %session.incarnation, "session adopted");
        let environment = self.environment.clone();
        let taken = session.clone();
        self.spawn(session, async move {
            Actor::adopted(taken, inbox, environment, sandbox, left, rules).await.run().await
        });
    }

    /// It ended while no host was there.
    async fn bury(&self, record: IncarnationRecord, exit: Option<Exit>, folder: &Path) {
        let reason = epitaph(&record, exit.as_ref());
        let ended_at = exit.map_or_else(|| self.environment.clock.timestamp(), |exit| exit.at);
        tracing::warn!(
            session.id = %record.begun.key.session, incarnation = %record.begun.id,
            stop.reason = reason.kind.as_str(), stop.detail = reason.detail, "session ended without a host"
        );
        let last_words = match reason.kind.is_failure() {
            true => {
                logs::open(folder.to_owned(), LAST_WORDS).await.ok().filter(|tail| !tail.bytes.is_empty())
            }
            false => None,
        };
        let entry =
            TimelineEntry { at: ended_at, event: "stopped".to_owned(), detail: Some(reason.to_string()) };
        let change = Change {
            phase: Phase::Stopped,
            idle_since: None,
            ended_at: Some(ended_at),
            reason: Some(reason),
            last_words: last_words.map(|tail| String::from_utf8_lossy(&tail.bytes).into_owned()),
        };
        // What it left of its tasks comes before its end: those that ran are lost with it.
        let journal = Journal {
            folder: IncarnationFolder::new(folder).journal(),
            incarnation: record.begun.id,
            key: record.begun.key.clone(),
            started_at: record.begun.started_at,
        };
        let taken = read_to_end(self.environment.journals.clone(), journal).await;
        if taken == Taken::Unwritten {
            // The next round finds the disk with room, or not.
            return;
        }
        let mut are_recorded = taken == Taken::Whole;
        let write =
            Write::Happened { incarnation: record.begun.id, entries: vec![entry], change: Some(change) };
        if let Err(error) = self.environment.store.write(write).await {
            tracing::error!(incarnation = %record.begun.id, error = %error, "cannot record the end of a session");
            are_recorded = false;
        }
        leftovers::clear(folder, are_recorded).await;
    }

    /// Removes every folder that belongs to no incarnation on record, and ends what runs in it.
    async fn sweep(&self) -> Result<(), ReconcileError> {
        // Read before the records: an intent is on record before its folder is made, so a folder
        // seen here without one was forgotten, or never ours.
        let mut folders = Vec::new();
        let mut entries = tokio::fs::read_dir(&self.environment.incarnations).await?;
        while let Some(entry) = entries.next_entry().await? {
            folders.push(entry);
        }
        let known = self.environment.store.folders().await?;
        for folder in folders {
            if !known.contains(&*folder.file_name().to_string_lossy()) {
                self.remove_orphan(&folder.path()).await;
            }
        }
        Ok(())
    }

    async fn remove_orphan(&self, folder: &Path) {
        if let Ok(Found::Running(sandbox)) = self.environment.kind.adopt(folder).await {
            tracing::warn!(folder = %folder.display(), "ending a sandbox that belongs to no session on record");
            let _ = sandbox.stop(StopSignal::Kill);
            if tokio::time::timeout(ORPHAN_GRACE, sandbox.wait()).await.is_err() {
                return; // The next round tries again.
            }
        }
        let doomed = folder.to_owned();
        let removed = spawn_blocking(move || remove_tree(&doomed)).await;
        if let Err(error) = removed.unwrap_or_else(|error| Err(error.into())) {
            tracing::warn!(folder = %folder.display(), error = %error, "cannot remove a folder");
        }
    }
}

/// Why an incarnation ended that nobody watched.
fn epitaph(record: &IncarnationRecord, exit: Option<&Exit>) -> StopReason {
    if let (Phase::Stopping, Some(reason)) = (record.now.phase, &record.now.reason) {
        return reason.clone();
    }
    match (exit, record.now.phase) {
        (Some(exit), Phase::Starting) => StopReason::new(StopKind::StartupFailed, describe_exit(exit)),
        (Some(exit), _) => StopReason::new(StopKind::ProcessExited, describe_exit(exit)),
        (None, Phase::Starting) => {
            StopReason::new(StopKind::HostLost, "the host ended while it started the session")
        }
        (None, _) => StopReason::new(
            StopKind::HostLost,
            "it ended while no host was there, as when the machine was restarted",
        ),
    }
}
