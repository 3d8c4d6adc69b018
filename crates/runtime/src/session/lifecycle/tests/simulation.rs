//! Random histories against the rules: a made-up agent, a made-up network, made-up time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

/// How many sessions are simulated.
const SESSIONS: u32 = 2_000;

/// What a caller, the agent or an operator does, some time after the previous one.
#[derive(Debug, Clone)]
enum Deed {
    /// A request that lasts so long and leaves background work of such a length.
    Request { lasts: u64, work: u64 },
    /// The agent begins background work by itself.
    Work { lasts: u64 },
    /// The agent answers no ping for so long.
    Hang { lasts: u64 },
    /// The agent's program ends.
    Crash,
    /// Somebody stops the session.
    Stop,
}

/// Everything is in milliseconds.
#[derive(Debug, Clone)]
struct History {
    deeds: Vec<(u64, Deed)>,
    latency: u64,
    exit_after: u64,
    idle_timeout: u64,
    max_lifetime: u64,
}

fn history() -> impl Strategy<Value = History> {
    let deed = prop_oneof![
        6 => (0u64..60_000, prop_oneof![Just(0), 0u64..90_000]).prop_map(|(lasts, work)| Deed::Request { lasts, work }),
        2 => (0u64..90_000).prop_map(|lasts| Deed::Work { lasts }),
        2 => (0u64..200_000).prop_map(|lasts| Deed::Hang { lasts }),
        1 => Just(Deed::Crash),
        1 => Just(Deed::Stop),
    ];
    let deeds = prop::collection::vec((0u64..70_000, deed), 0..12);
    (deeds, 0u64..1_500, 0u64..40_000, 1u64..60, 60u64..600).prop_map(
        |(deeds, latency, exit_after, idle, life)| History {
            deeds,
            latency,
            exit_after,
            idle_timeout: idle * 1_000,
            max_lifetime: life * 1_000,
        },
    )
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    RequestEnds { incarnation: usize },
    PingEnds { incarnation: usize, sent: u64, answer: Option<bool> },
    Exits { incarnation: usize },
    Deed(usize),
}

/// One incarnation and the truth about it.
struct Simulated {
    life: Lifecycle,
    born: u64,
    in_flight: u32,
    last_ended: Option<u64>,
    work_since: u64,
    work_until: u64,
    hangs_until: u64,
    /// The latest moment at which the truth or the host's knowledge was: busy.
    last_busy: u64,
    last_silent: u64,
    gate_open: bool,
    pings: u32,
    exits: bool,
}

struct Session {
    history: History,
    now: u64,
    queue: BinaryHeap<Reverse<(u64, Happening)>>,
    incarnations: Vec<Simulated>,
}

fn moment(millis: u64) -> Moment {
    Moment::from_micros(millis as i64 * 1_000)
}

impl Session {
    fn run(history: History) {
        let mut session = Self { now: 0, queue: BinaryHeap::new(), incarnations: Vec::new(), history };
        let mut at = 0;
        for (index, (after, _)) in session.history.deeds.iter().enumerate() {
            at += after;
            session.queue.push(Reverse((at, Happening::Deed(index))));
        }
        while let Some(now) = session.next_time() {
            session.now = now;
            session.turn();
            session.check();
        }
        for simulated in &session.incarnations {
            assert!(matches!(simulated.life.state(), State::Stopped { .. }), "nothing lives for ever");
        }
    }

    fn next_time(&self) -> Option<u64> {
        let queued = self.queue.peek().map(|Reverse((at, _))| *at);
        let timers = self.incarnations.iter().filter_map(|s| s.life.wake_at());
        // Rounded up: a timer never fires early.
        let timer = timers.min().map(|at| (at.micros().max(0) as u64).div_ceil(1_000).max(self.now));
        queued.into_iter().chain(timer).min()
    }

    fn turn(&mut self) {
        match self.queue.peek() {
            Some(Reverse((at, _))) if *at <= self.now => {
                let Some(Reverse((_, happening))) = self.queue.pop() else { return };
                self.happen(happening);
            }
            _ => {
                for index in 0..self.incarnations.len() {
                    if self.incarnations[index].life.wake_at().is_some_and(|at| at <= moment(self.now)) {
                        self.step(index, Event::Tick);
                    }
                }
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deed(index) => self.do_deed(self.history.deeds[index].1.clone()),
            Happening::RequestEnds { incarnation } => {
                let simulated = &mut self.incarnations[incarnation];
                simulated.in_flight -= 1;
                simulated.last_ended = Some(self.now);
                simulated.last_busy = self.now;
            }
            Happening::PingEnds { incarnation, sent, answer } => {
                let simulated = &mut self.incarnations[incarnation];
                simulated.pings -= 1;
                let sent = moment(sent);
                match answer {
                    Some(busy) => {
                        if busy {
                            simulated.last_busy = self.now;
                        }
                        self.step(incarnation, Event::Pong { sent, status: PingStatus::busy_if(busy) });
                    }
                    None => {
                        simulated.last_silent = self.now;
                        if matches!(simulated.life.state(), State::Active { .. }) {
                            // Blocked by work, for all that anybody knows.
                            simulated.last_busy = self.now;
                        }
                        self.step(incarnation, Event::PingFailed { sent, problem: "silence".into() });
                    }
                }
            }
            Happening::Exits { incarnation } => self.step(incarnation, Event::Exited("ended".into())),
        }
    }

    fn do_deed(&mut self, deed: Deed) {
        let now = self.now;
        match deed {
            Deed::Request { lasts, work } => {
                let incarnation = self.current_or_new();
                let simulated = &mut self.incarnations[incarnation];
                simulated.in_flight += 1;
                simulated.work_until =
                    simulated.work_until.max(if work > 0 { now + lasts + work } else { 0 });
                self.queue.push(Reverse((now + lasts, Happening::RequestEnds { incarnation })));
                // The host learns of it at once only when it thought the session idle.
                if matches!(self.incarnations[incarnation].life.state(), State::Idle { .. }) {
                    self.step(incarnation, Event::Tick);
                }
            }
            Deed::Work { lasts } => self.with_current(|s| {
                s.work_since = if s.work_until > now { s.work_since } else { now };
                s.work_until = s.work_until.max(now + lasts);
            }),
            Deed::Hang { lasts } => self.with_current(|s| s.hangs_until = s.hangs_until.max(now + lasts)),
            Deed::Crash => {
                if let Some(incarnation) = self.incarnations.len().checked_sub(1) {
                    self.exit(incarnation, 0);
                }
            }
            Deed::Stop => {
                if let Some(incarnation) = self.incarnations.len().checked_sub(1) {
                    self.step(incarnation, Event::Stop(StopReason::new(StopKind::StopRequested, "")));
                }
            }
        }
    }

    fn with_current(&mut self, change: impl FnOnce(&mut Simulated)) {
        if let Some(simulated) = self.incarnations.last_mut() {
            change(simulated);
        }
    }

    /// What the manager does: the current incarnation if its gate is open, else a fresh one.
    fn current_or_new(&mut self) -> usize {
        if !self.incarnations.last().is_some_and(|s| s.gate_open) {
            let life = Lifecycle::new(self.rules(), moment(self.now));
            self.incarnations.push(Simulated {
                life,
                born: self.now,
                in_flight: 0,
                last_ended: None,
                work_since: 0,
                work_until: 0,
                hangs_until: 0,
                last_busy: self.now,
                last_silent: 0,
                gate_open: true,
                pings: 0,
                exits: false,
            });
            let incarnation = self.incarnations.len() - 1;
            self.step(incarnation, Event::Spawned);
        }
        self.incarnations.len() - 1
    }

    fn rules(&self) -> Rules {
        Rules {
            idle_timeout: Duration::from_millis(self.history.idle_timeout),
            max_lifetime: Duration::from_millis(self.history.max_lifetime),
            unresponsive_busy: 120 * SECOND,
            ..rules()
        }
    }

    fn step(&mut self, incarnation: usize, event: Event) {
        self.count(incarnation);
        self.apply(incarnation, event);
    }

    fn count(&mut self, incarnation: usize) {
        let simulated = &self.incarnations[incarnation];
        let last_ended = simulated.last_ended.map(moment);
        let requests = Requests { in_flight: simulated.in_flight > 0, last_ended };
        self.apply(incarnation, Event::Requests(requests));
    }

    fn apply(&mut self, incarnation: usize, event: Event) {
        let (life, actions) = self.incarnations[incarnation].life.clone().step(event, moment(self.now));
        self.incarnations[incarnation].life = life;
        for action in actions {
            self.carry_out(incarnation, action);
        }
    }

    fn carry_out(&mut self, incarnation: usize, action: Action) {
        let now = self.now;
        let simulated = &mut self.incarnations[incarnation];
        match action {
            Action::Ping => {
                assert_eq!(simulated.pings, 0, "one ping at a time");
                simulated.pings = 1;
                let answered_at = now + self.history.latency;
                let (ends, answer) = if simulated.exits || simulated.hangs_until > answered_at {
                    let unblocked = simulated.hangs_until.max(answered_at);
                    (unblocked.min(now + PING_TIMEOUT.as_millis() as u64), None)
                } else {
                    (answered_at, Some(simulated.work_until > now + self.history.latency / 2))
                };
                self.queue.push(Reverse((ends, Happening::PingEnds { incarnation, sent: now, answer })));
            }
            Action::CloseGate(reason) => {
                if simulated.in_flight == 0 {
                    simulated.gate_open = false;
                    self.check_idle_end(incarnation, &reason);
                    self.apply(incarnation, Event::GateClosed(reason));
                } else {
                    self.count(incarnation);
                }
            }
            Action::Terminate => {
                simulated.gate_open = false;
                let after = self.history.exit_after;
                self.exit(incarnation, after);
            }
            Action::Kill => self.exit(incarnation, 1),
            Action::Record(_) => {}
        }
    }

    fn exit(&mut self, incarnation: usize, after: u64) {
        let simulated = &mut self.incarnations[incarnation];
        let at = self.now + after;
        let soon = self
            .queue
            .iter()
            .any(|Reverse((when, happening))| *when <= at && *happening == Happening::Exits { incarnation });
        simulated.exits |= after == 0;
        if !soon {
            self.queue.push(Reverse((at, Happening::Exits { incarnation })));
        }
    }

    /// Never ended while busy.
    fn check_idle_end(&self, incarnation: usize, reason: &StopReason) {
        let simulated = &self.incarnations[incarnation];
        match reason.kind {
            StopKind::IdleTimeout => {
                assert_eq!(simulated.in_flight, 0);
                assert!(
                    self.now >= simulated.last_busy + self.history.idle_timeout,
                    "ended {} ms after it was last busy",
                    self.now - simulated.last_busy
                );
                // What began after the last ping was answered, nobody could know.
                let known = simulated.work_since + self.history.latency < self.now;
                let working = simulated.work_until > self.now;
                assert!(!(known && working), "ended while background work was under way");
            }
            StopKind::HealthCheckFailed => {
                assert!(simulated.last_silent + 31_000 > self.now, "given up while it answered");
            }
            other => panic!("{other:?} closes no gate"),
        }
    }

    fn check(&self) {
        let living =
            |s: &Simulated| !matches!(s.life.state(), State::Stopping { .. } | State::Stopped { .. });
        assert!(self.incarnations.iter().filter(|s| living(s)).count() <= 1, "two current incarnations");
        for simulated in self.incarnations.iter().filter(|s| living(s)) {
            assert!(simulated.gate_open, "a living session lets requests in");
            assert!(self.now <= simulated.born + self.history.max_lifetime, "past its maximum life");
            self.check_not_forgotten(simulated);
        }
    }

    /// Always ended when idle past the timeout: at most a ping that was under way, the one that
    /// settles, and the one at the deadline may come in between.
    fn check_not_forgotten(&self, simulated: &Simulated) {
        let answers = simulated.hangs_until.max(simulated.last_silent);
        let idle_since = simulated.last_busy.max(simulated.work_until).max(answers);
        let pings = 3 * (self.history.latency + 2_000);
        let latest = idle_since + self.history.idle_timeout + pings;
        assert!(
            simulated.in_flight > 0 || self.now <= latest,
            "idle for {} ms and still {:?}",
            self.now - idle_since,
            simulated.life.state()
        );
    }
}

/// Two thousand sessions, or more if PROPTEST_CASES asks for it.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.max(SESSIONS), failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sessions_with_random_histories_keep_the_rules(history in history()) {
        Session::run(history);
    }
}
