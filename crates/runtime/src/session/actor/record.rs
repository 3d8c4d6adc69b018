//! What an actor tells: its handles, the store, and the log.

use std::sync::Arc;
use std::time::Duration;

use agentcore_sandbox::{Sandbox, Usage};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Actor;
use crate::journal::Taken;
use crate::session::handle::{Command, Published};
use crate::session::lifecycle::{BusyWith, Note, State};
use crate::session::reason::{StopReason, human};
use crate::store::{Change, Phase, TimelineEntry, Write};

/// How long a host that is told to end waits for room to record a stop.
const LAST_CHANCE: Duration = Duration::from_secs(5);
/// How much of the end of a log explains a failure.
const LAST_WORDS: usize = 4 * 1024;

impl Actor {
    /// Tells everyone what the incarnation has become.
    pub(super) async fn tell(&mut self, notes: Vec<Note>) {
        self.listen_to_last_words().await;
        let published = self.publish();
        let mut entries = Vec::with_capacity(notes.len());
        for note in notes {
            self.log(&note);
            entries.push(self.entry(note).await);
        }
        if entries.is_empty() {
            return;
        }
        let (incarnation, change) = (self.session.incarnation, self.change(&published));
        let write =
            || Write::Happened { incarnation, entries: entries.clone(), change: Some(change.clone()) };
        let environment = self.environment.clone();
        if published.phase != Phase::Stopped {
            return environment.store.enqueue(write()).await;
        }
        // What its tasks came to is on record first: those that are still running by then are lost.
        let journal = self.journal.take();
        let recorded = async {
            let taken = match journal {
                Some(journal) => journal.finish().await,
                None => Taken::Whole,
            };
            environment.store.write_until_done(write).await;
            environment.journals.tell(incarnation);
            taken == Taken::Whole
        };
        // What is stopped is cleaned up next, so the record has to be on disk by then.
        self.is_recorded = tokio::select! {
            is_recorded = recorded => is_recorded,
            () = last_chance(&mut self.inbox) => false,
        };
    }

    /// Writes into the timeline what does not change the state.
    pub(super) async fn note(&mut self, event: &str, detail: String) {
        let at = self.environment.clock.timestamp();
        let entries = vec![TimelineEntry { at, event: event.to_owned(), detail: Some(detail) }];
        let incarnation = self.session.incarnation;
        self.environment.store.enqueue(Write::Happened { incarnation, entries, change: None }).await;
    }

    /// A host that leaves takes every connection with it.
    pub(super) async fn tell_what_is_cut_off(&mut self) {
        let detail = match self.session.in_flight() {
            0 => return,
            1 => "the host left with a request in flight".to_owned(),
            several => format!("the host left with {several} requests in flight"),
        };
        self.note("cut_off", detail).await;
    }

    /// When the agent is to blame, the end of its log tells why.
    async fn listen_to_last_words(&mut self) {
        let failed = reason_of(self.life.state()).is_some_and(|reason| reason.kind.is_failure());
        if !failed || self.session.last_words.get().is_some() {
            return;
        }
        let Some(sandbox) = self.session.sandbox().cloned() else { return };
        let tail = spawn_blocking(move || sandbox.log_tail(LAST_WORDS)).await;
        if let Ok(Ok(tail)) = tail
            && !tail.is_empty()
        {
            let _ = self.session.last_words.set(String::from_utf8_lossy(&tail).into_owned());
        }
    }

    fn publish(&self) -> Published {
        let (phase, idle_since) = match self.life.state() {
            State::Starting { .. } => (Phase::Starting, None),
            State::Active { .. } => (Phase::Active, None),
            State::Idle { since } => (Phase::Idle, Some(*since)),
            State::Stopping { .. } => (Phase::Stopping, None),
            State::Stopped { .. } => (Phase::Stopped, None),
        };
        let clock = &self.environment.clock;
        let mut published = Published {
            phase,
            ping_status: self.ping_status,
            status_since: clock.now(),
            idle_since,
            idle_deadline: self.life.idle_deadline(),
            life_ends: self.life.life_ends(),
            ended_at: (phase == Phase::Stopped).then(|| clock.timestamp()),
            reason: reason_of(self.life.state()).cloned(),
        };
        if !phase.is_current() {
            self.session.gate.close();
        }
        let changed = self.session.published.send_if_modified(|current| {
            if published.status() == current.status() {
                published.status_since = current.status_since;
            }
            let changed = *current != published;
            *current = published.clone();
            changed
        });
        if changed && phase == Phase::Idle {
            self.session.gate.doze();
        }
        published
    }

    fn change(&self, published: &Published) -> Change {
        Change {
            phase: published.phase,
            idle_since: published.idle_since.map(|since| self.environment.clock.timestamp_of(since)),
            ended_at: published.ended_at,
            reason: published.reason.clone(),
            last_words: self.session.last_words.get().cloned(),
        }
    }

    async fn entry(&mut self, note: Note) -> TimelineEntry {
        let clock = &self.environment.clock;
        let mut at = clock.timestamp();
        let (event, detail) = match note {
            Note::Healthy => ("healthy", Some("it answered its first ping".to_owned())),
            Note::Busy(BusyWith::Request) => ("busy", Some("a request is in flight".to_owned())),
            Note::Busy(BusyWith::Work) => ("busy", Some("its ping says HealthyBusy".to_owned())),
            Note::Idle { since } => {
                at = clock.timestamp_of(since);
                ("idle", None)
            }
            Note::Unresponsive { problem } => ("unresponsive", Some(self.with_usage(problem).await)),
            Note::Answering { after } => ("answering", Some(format!("after {}", human(after)))),
            Note::Stopping(reason) => ("stopping", Some(reason.to_string())),
            Note::Killed => ("killed", Some("it did not leave within the grace period".to_owned())),
            Note::Stopped(reason) => ("stopped", Some(reason.to_string())),
        };
        TimelineEntry { at, event: event.to_owned(), detail }
    }

    /// A silent agent that burns CPU is blocked; one that does not may be dead.
    async fn with_usage(&mut self, problem: String) -> String {
        match self.session.sandbox() {
            Some(sandbox) => match usage(sandbox.clone()).await {
                Some(Usage { cpu, memory_bytes, processes }) => format!(
                    "{problem}; it has used {:.1} s of CPU, and has {} MB of memory and {processes} processes",
                    cpu.as_secs_f64(),
                    memory_bytes / 1_000_000
                ),
                None => problem,
            },
            None => problem,
        }
    }

    fn log(&self, note: &Note) {
        let key = &self.session.key;
        let incarnation = self.session.incarnation;
        match note {
            Note::Stopped(reason) if reason.kind.is_failure() => tracing::warn!(
                session.id = %key.session, agent = %key.agent, incarnation = %incarnation,
                stop.reason = reason.kind.as_str(), stop.detail = reason.detail, "session failed"
            ),
            Note::Stopped(reason) => tracing::info!(
                session.id = %key.session, agent = %key.agent, incarnation = %incarnation,
                stop.reason = reason.kind.as_str(), stop.detail = reason.detail, "session stopped"
            ),
            Note::Healthy => tracing::info!(
                session.id = %key.session, agent = %key.agent, incarnation = %incarnation, "session started"
            ),
            Note::Unresponsive { problem } => tracing::warn!(
                session.id = %key.session, agent = %key.agent, incarnation = %incarnation,
                problem, "session does not answer pings"
            ),
            _ => {}
        }
    }
}

/// Returns a little after it was told to leave. Nothing else that is asked of one that has stopped is
/// of use.
async fn last_chance(inbox: &mut mpsc::Receiver<Command>) {
    loop {
        match inbox.recv().await {
            Some(Command::Leave) => return sleep(LAST_CHANCE).await,
            Some(Command::Stop(_, reply)) => drop(reply.send(false)),
            Some(Command::Note(..)) => {}
            None => std::future::pending().await,
        }
    }
}

/// What a sandbox uses, if that can be known.
pub(crate) async fn usage(sandbox: Arc<dyn Sandbox>) -> Option<Usage> {
    spawn_blocking(move || sandbox.usage()).await.ok()?.ok()
}

fn reason_of(state: &State) -> Option<&StopReason> {
    match state {
        State::Stopping { reason, .. } | State::Stopped { reason } => Some(reason),
        _ => None,
    }
}
