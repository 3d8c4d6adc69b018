//! The life of one incarnation, as a pure function: [`Lifecycle::step`] takes what happened and
//! what time it is, and returns what the incarnation now is and what is to be done.
//!
//! ```text
//! Starting ──healthy──▶ Active ◀──request, busy ping── Idle
//!     │                    └──no request and a Healthy ping sent since──▶ │
//!     └────────┬───────────┴──────────────────┬────────────────────────────┘
//!              ▼  too late, too old, asked    ▼  the program ended
//!          Stopping ──the program ended──▶ Stopped(reason)
//! ```
//!
//! Four rules hold whatever comes in, and the tests beside this file look for their breach:
//! - Busy is: a request in flight, or the latest ping said HealthyBusy. Nothing else is, and no
//!   timestamp in a ping counts.
//! - The idle clock starts when the last request ended, or when the first ping said Healthy again.
//!   But a session is Idle only once a ping *sent after that* said Healthy: the request may have
//!   left work behind, of which an older ping knew nothing.
//! - An idle session ends only on a Healthy ping that was sent at its deadline or later, and only
//!   if the gate closes, which it does not while a request is in flight.
//! - A session that was busy when it fell silent is probably blocked: it gets much longer than an
//!   idle one.

use std::time::Duration;

use agentcore_protocol::PingStatus;

use super::reason::{StopKind, StopReason, human};
use crate::time::Moment;

/// How long a ping may take before it counts as not answered.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Shortest and longest wait between two pings of a session that starts.
const START_RETRY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// Pings are sent at multiples of this: what wakes the host for one session serves those beside it too.
const TOGETHER: Duration = Duration::from_millis(20);
/// From when on a ping that is under way counts as one that hangs.
const HANGS: Duration = Duration::from_secs(1);
/// How long after a SIGKILL that had no effect the next one follows.
const KILL_AGAIN: Duration = Duration::from_secs(5);
/// What a session that was adopted has left at least, so that its callers can come back.
const ADOPTED_IDLE: Duration = Duration::from_secs(60);

/// What holds for one incarnation from start to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) idle_timeout: Duration,
    pub(crate) max_lifetime: Duration,
    pub(crate) startup: Duration,
    pub(crate) stop_grace: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) unresponsive_idle: Duration,
    pub(crate) unresponsive_busy: Duration,
}

/// What can happen to an incarnation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// Its program was started, and may be pinged.
    Spawned,
    /// Its program could not be started.
    StartFailed(String),
    /// What the gate counts.
    Requests(Requests),
    /// A ping that was sent then has been answered now.
    Pong { sent: Moment, status: PingStatus },
    /// A ping that was sent then has no answer, or a bad one.
    PingFailed { sent: Moment, problem: String },
    /// [`Action::CloseGate`] was carried out: there is no request, and there will be none.
    GateClosed(StopReason),
    /// Somebody wants it stopped.
    Stop(StopReason),
    /// Its program has ended, and so did all that the program started.
    Exited(String),
    /// Nothing but time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Send a ping, and report what comes of it. Never ordered while another is under way.
    Ping,
    /// Let no request in, unless one is there; report [`Event::GateClosed`], or the requests.
    CloseGate(StopReason),
    /// Let no request in and send SIGTERM.
    Terminate,
    /// Send SIGKILL.
    Kill,
    /// Write it into the timeline.
    Record(Note),
}

/// What a timeline tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Note {
    Healthy,
    Busy(BusyWith),
    Idle { since: Moment },
    Unresponsive { problem: String },
    Answering { after: Duration },
    Stopping(StopReason),
    Killed,
    Stopped(StopReason),
}

/// What keeps a session busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BusyWith {
    Request,
    Work,
}

/// What the gate counts: whether a request is in flight, and when the latest one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Requests {
    pub(crate) in_flight: bool,
    pub(crate) last_ended: Option<Moment>,
}

/// The states.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    Starting {
        failed_pings: u32,
    },
    /// Busy, or not yet known to be idle: then the status is Healthy and no request in flight.
    Active {
        status: PingStatus,
    },
    Idle {
        since: Moment,
    },
    Stopping {
        reason: StopReason,
        kill_at: Moment,
        killed: bool,
    },
    Stopped {
        reason: StopReason,
    },
}

#[derive(Debug, Clone, PartialEq)]
struct Silence {
    since: Moment,
    problem: String,
}

/// What an earlier host left of an incarnation that still runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Adopted {
    Starting,
    Running { idle_since: Option<Moment> },
    Stopping(StopReason),
}

/// An incarnation at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lifecycle {
    rules: Rules,
    born: Moment,
    startup_deadline: Moment,
    requests: Requests,
    /// Since when pings have gone without a good answer.
    silence: Option<Silence>,
    /// When the next ping is due; `None` while one is under way, and when there is none to send.
    next_ping: Option<Moment>,
    /// When the ping was sent that is under way.
    pinged: Option<Moment>,
    state: State,
}

impl Lifecycle {
    /// An incarnation that is about to be started.
    pub(crate) fn new(rules: Rules, now: Moment) -> Self {
        Self {
            rules,
            born: now,
            startup_deadline: now + rules.startup,
            requests: Requests::default(),
            silence: None,
            next_ping: None,
            pinged: None,
            state: State::Starting { failed_pings: 0 },
        }
    }

    /// An incarnation that an earlier host started, and that still runs.
    pub(crate) fn adopt(rules: Rules, born: Moment, left: Adopted, now: Moment) -> (Self, Vec<Action>) {
        let mut adopted = Self { born, next_ping: Some(now), ..Self::new(rules, now) };
        let mut actions = Vec::new();
        match left {
            Adopted::Starting => {}
            Adopted::Running { idle_since } => {
                // Nobody could invoke it while there was no host, so the idle clock went on.
                let least = rules.idle_timeout.min(ADOPTED_IDLE);
                let latest_start = (now + least).earlier_by(rules.idle_timeout);
                let since = idle_since.map_or(now, |since| since.max(latest_start));
                adopted.requests.last_ended = Some(since.min(now));
                adopted.state = State::Active { status: PingStatus::Healthy };
            }
            Adopted::Stopping(reason) => adopted.stop(reason, now, &mut actions),
        }
        adopted.pass_time(now, &mut actions);
        (adopted, actions)
    }

    /// What comes of `event` at `now`.
    pub(crate) fn step(mut self, event: Event, now: Moment) -> (Self, Vec<Action>) {
        let mut actions = Vec::new();
        self.apply(event, now, &mut actions);
        self.pass_time(now, &mut actions);
        (self, actions)
    }

    /// The state.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// When it is to be stepped at the latest, if nothing happens before.
    pub(crate) fn wake_at(&self) -> Option<Moment> {
        match &self.state {
            State::Stopped { .. } => None,
            State::Stopping { kill_at, .. } => Some(*kill_at),
            State::Starting { .. } => [Some(self.startup_deadline), Some(self.life_ends()), self.next_ping]
                .into_iter()
                .flatten()
                .min(),
            State::Active { .. } | State::Idle { .. } => {
                [Some(self.life_ends()), self.silence_ends(), self.ping_at()].into_iter().flatten().min()
            }
        }
    }

    /// When its life ends in any case.
    pub(crate) fn life_ends(&self) -> Moment {
        self.born + self.rules.max_lifetime
    }

    /// When it ends if it stays idle.
    pub(crate) fn idle_deadline(&self) -> Option<Moment> {
        match self.state {
            State::Idle { since } => Some(since + self.rules.idle_timeout),
            _ => None,
        }
    }

    fn apply(&mut self, event: Event, now: Moment, actions: &mut Vec<Action>) {
        if let Event::Pong { .. } | Event::PingFailed { .. } = event {
            self.pinged = None;
        }
        if matches!(self.state, State::Stopped { .. }) {
            return;
        }
        match event {
            Event::Tick => {}
            Event::Spawned => self.spawned(now),
            Event::StartFailed(problem) => self.ended(StopKind::StartupFailed, problem, actions),
            Event::Requests(requests) => self.counted(requests, actions),
            Event::Pong { sent, status } => self.answered(sent, status, now, actions),
            Event::PingFailed { sent, problem } => self.unanswered(sent, problem, now, actions),
            Event::GateClosed(reason) if matches!(self.state, State::Idle { .. }) => {
                self.stop(reason, now, actions);
            }
            // It was asked for while idle, and something came in between: the gate opens no more,
            // so the session cannot go on.
            Event::GateClosed(reason) | Event::Stop(reason) => {
                if !matches!(self.state, State::Stopping { .. }) {
                    self.stop(reason, now, actions);
                }
            }
            Event::Exited(how) => match self.state {
                State::Starting { .. } => self.ended(StopKind::StartupFailed, how, actions),
                _ => self.ended(StopKind::ProcessExited, how, actions),
            },
        }
    }

    fn spawned(&mut self, now: Moment) {
        if matches!(self.state, State::Starting { .. }) {
            self.next_ping = Some(now);
        }
    }

    fn counted(&mut self, requests: Requests, actions: &mut Vec<Action>) {
        self.requests = requests;
        if let State::Idle { since } = self.state
            && (requests.in_flight || requests.last_ended > Some(since))
        {
            self.activate(PingStatus::Healthy, BusyWith::Request, actions);
        }
    }

    fn answered(&mut self, sent: Moment, status: PingStatus, now: Moment, actions: &mut Vec<Action>) {
        if let State::Stopping { .. } = self.state {
            return;
        }
        self.next_ping = Some((now + self.rules.ping_interval).onto(TOGETHER));
        let silence = self.silence.take();
        let was_silent = silence.is_some();
        let before = std::mem::replace(&mut self.state, State::Active { status });
        match &before {
            State::Starting { .. } => {
                actions.push(Action::Record(Note::Healthy));
                if status.is_busy() {
                    self.activate(status, BusyWith::Work, actions);
                }
            }
            _ => {
                if let Some(silence) = silence {
                    actions.push(Action::Record(Note::Answering { after: now.since(silence.since) }));
                }
                if let State::Active { status: PingStatus::Healthy } | State::Idle { .. } = before
                    && status.is_busy()
                {
                    self.activate(status, BusyWith::Work, actions);
                }
            }
        }
        if !status.is_busy() {
            let since = self.idle_since(&before, was_silent, now);
            self.settle(&before, since, sent, actions);
        }
    }

    /// Since when a session is idle that says Healthy now.
    fn idle_since(&self, before: &State, was_silent: bool, now: Moment) -> Moment {
        match before {
            State::Idle { since } => *since,
            State::Active { status: PingStatus::Healthy } if !was_silent => {
                self.requests.last_ended.unwrap_or(now)
            }
            // It stopped being busy, or blocked, somewhere between the last ping and this one.
            _ => now,
        }
    }

    /// After a Healthy ping: idle since then, if nothing happened since the ping was sent.
    fn settle(&mut self, before: &State, since: Moment, sent: Moment, actions: &mut Vec<Action>) {
        let Requests { in_flight, last_ended } = self.requests;
        if in_flight || last_ended >= Some(sent) {
            return;
        }
        self.state = State::Idle { since };
        if !matches!(before, State::Idle { .. }) {
            actions.push(Action::Record(Note::Idle { since }));
        }
        if sent >= since + self.rules.idle_timeout {
            actions.push(Action::CloseGate(StopReason::idle(self.rules.idle_timeout)));
        }
    }

    fn unanswered(&mut self, sent: Moment, problem: String, now: Moment, actions: &mut Vec<Action>) {
        // A host that was itself stopped for a while must not blame its agents: of an old ping
        // only the time counts that it may have taken.
        let since = sent.max(now.earlier_by(PING_TIMEOUT));
        match &mut self.state {
            State::Starting { failed_pings } => {
                let wait = START_RETRY.0 * 2u32.saturating_pow(*failed_pings).min(64);
                *failed_pings += 1;
                self.next_ping = Some(now + wait.min(START_RETRY.1));
            }
            State::Active { .. } | State::Idle { .. } => {
                self.next_ping = Some((now + self.rules.ping_interval).onto(TOGETHER));
                if self.silence.is_none() {
                    actions.push(Action::Record(Note::Unresponsive { problem: problem.clone() }));
                }
            }
            State::Stopping { .. } | State::Stopped { .. } => return,
        }
        let since = self.silence.take().map_or(since, |silence| silence.since);
        self.silence = Some(Silence { since, problem });
    }

    fn activate(&mut self, status: PingStatus, with: BusyWith, actions: &mut Vec<Action>) {
        self.state = State::Active { status };
        actions.push(Action::Record(Note::Busy(with)));
    }

    fn stop(&mut self, reason: StopReason, now: Moment, actions: &mut Vec<Action>) {
        actions.push(Action::Record(Note::Stopping(reason.clone())));
        actions.push(Action::Terminate);
        self.next_ping = None;
        self.state = State::Stopping { reason, kill_at: now + self.rules.stop_grace, killed: false };
    }

    fn ended(&mut self, kind: StopKind, how: String, actions: &mut Vec<Action>) {
        let reason = match &self.state {
            State::Stopping { reason, .. } => reason.clone(),
            _ => StopReason::new(kind, how),
        };
        actions.push(Action::Record(Note::Stopped(reason.clone())));
        self.next_ping = None;
        self.state = State::Stopped { reason };
    }

    fn pass_time(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if let State::Stopping { kill_at, killed, .. } = &mut self.state {
            if *kill_at <= now {
                if !*killed {
                    actions.push(Action::Record(Note::Killed));
                }
                actions.push(Action::Kill);
                (*kill_at, *killed) = (now + KILL_AGAIN, true);
            }
            return;
        }
        if matches!(self.state, State::Stopped { .. }) {
            return;
        }
        if now >= self.life_ends() {
            return self.stop(StopReason::max_lifetime(self.rules.max_lifetime), now, actions);
        }
        if matches!(self.state, State::Starting { .. }) && now >= self.startup_deadline {
            return self.stop(self.never_healthy(now), now, actions);
        }
        if self.silence_ends().is_some_and(|end| now >= end) {
            return self.give_up(now, actions);
        }
        if self.ping_at().is_some_and(|at| now >= at) {
            self.next_ping = None;
            self.pinged = Some(now);
            actions.push(Action::Ping);
        }
    }

    /// A ping that hangs tells more than those that failed before it.
    fn never_healthy(&self, now: Moment) -> StopReason {
        let failed = self.silence.as_ref().map(|silence| silence.problem.clone());
        let hung = self.pinged.map(|sent| now.since(sent)).filter(|hung| failed.is_none() || *hung >= HANGS);
        let hangs = hung.map(|hung| {
            format!("the latest has hung for {}: nothing takes it, or what does never answers", human(hung))
        });
        let problem = hangs.or(failed).unwrap_or_else(|| "its program did not run by then".to_owned());
        StopReason::never_healthy(self.rules.startup, &problem)
    }

    fn give_up(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let Some(silence) = &self.silence else { return };
        let reason = StopReason::unresponsive(now.since(silence.since), &silence.problem);
        match self.state {
            State::Idle { .. } => actions.push(Action::CloseGate(reason)),
            _ => self.stop(reason, now, actions),
        }
    }

    /// When a session that does not answer is given up.
    fn silence_ends(&self) -> Option<Moment> {
        let since = self.silence.as_ref()?.since;
        match self.state {
            State::Active { .. } => Some(since + self.rules.unresponsive_busy),
            State::Idle { .. } => Some(since + self.rules.unresponsive_idle),
            _ => None,
        }
    }

    /// When to send the next ping: when it is due, or at the idle deadline, which needs one.
    fn ping_at(&self) -> Option<Moment> {
        let due = self.next_ping?;
        if self.silence.is_some() {
            return Some(due);
        }
        let quiet_since = match self.state {
            State::Idle { since } => Some(since),
            State::Active { status: PingStatus::Healthy } if !self.requests.in_flight => {
                self.requests.last_ended
            }
            _ => None,
        };
        Some(quiet_since.map_or(due, |since| due.min(since + self.rules.idle_timeout)))
    }
}

#[cfg(test)]
mod tests;
