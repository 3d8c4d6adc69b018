//! Follows the task journals of sessions: what agents write of their tasks is in the store within
//! milliseconds, and stays there.
//!
//! An agent may write into its folder whatever it likes. So a journal is opened without following
//! links, and only if it is a regular file; lines, tasks and bytes are bounded, and what is left out
//! is told in the session's timeline. How far a journal was read is in the store, in the same
//! transaction as what was read: nothing is missed or taken twice when a host ends in between.

mod file;
mod follow;
mod lines;
mod watch;

use std::sync::Arc;

use agentcore_protocol::IncarnationId;
use tokio::sync::{Semaphore, broadcast};

use crate::store::{Store, TimelineEntry, Write};
use crate::time::HostClock;
use watch::Watcher;

pub(crate) use follow::{Follower, Journal, Taken, read_to_end};

/// How many journals are read at once. Each takes as much memory as the longest line.
const AT_ONCE: usize = 16;
/// How many ends of tasks somebody who waits may be behind.
const NEWS: usize = 256;

/// What all followers of a host share.
pub(crate) struct Journals {
    store: Store,
    clock: HostClock,
    watcher: Watcher,
    turns: Semaphore,
    ended: broadcast::Sender<IncarnationId>,
}

impl Journals {
    /// Nobody is followed yet.
    pub(crate) fn new(store: Store, clock: HostClock) -> Arc<Self> {
        let watcher = Watcher::start();
        let turns = Semaphore::new(AT_ONCE);
        Arc::new(Self { store, clock, watcher, turns, ended: broadcast::Sender::new(NEWS) })
    }

    /// Tells of each incarnation some of whose tasks have ended.
    pub(crate) fn news(&self) -> broadcast::Receiver<IncarnationId> {
        self.ended.subscribe()
    }

    /// Tasks of this incarnation have ended, and that is on record.
    pub(crate) fn tell(&self, incarnation: IncarnationId) {
        // Nobody need be waiting.
        let _ = self.ended.send(incarnation);
    }

    /// Writes into the timeline of a session.
    async fn note(&self, incarnation: IncarnationId, event: &str, detail: String) {
        let at = self.clock.timestamp();
        let entries = vec![TimelineEntry { at, event: event.to_owned(), detail: Some(detail) }];
        self.store.enqueue(Write::Happened { incarnation, entries, change: None }).await;
    }
}
