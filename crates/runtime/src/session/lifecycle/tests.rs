//! Single rules by hand, then random histories.

mod simulation;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rules() -> Rules {
    Rules {
        idle_timeout: 900 * SECOND,
        max_lifetime: 28_800 * SECOND,
        startup: 120 * SECOND,
        stop_grace: 30 * SECOND,
        ping_interval: 2 * SECOND,
        unresponsive_idle: 30 * SECOND,
        unresponsive_busy: 900 * SECOND,
    }
}

fn at(seconds: f64) -> Moment {
    Moment::from_micros((seconds * 1e6) as i64)
}

/// A lifecycle, and the last actions it asked for.
struct Driven {
    life: Lifecycle,
    actions: Vec<Action>,
}

impl Driven {
    fn started() -> Self {
        let driven = Self { life: Lifecycle::new(rules(), at(0.0)), actions: Vec::new() };
        driven.then(0.0, Event::Spawned)
    }

    /// Started at 0, healthy at 1, idle since.
    fn idle() -> Self {
        Self::started().pong(0.5, 1.0, PingStatus::Healthy)
    }

    fn then(self, now: f64, event: Event) -> Self {
        let (life, actions) = self.life.step(event, at(now));
        Self { life, actions }
    }

    fn pong(self, sent: f64, now: f64, status: PingStatus) -> Self {
        self.then(now, Event::Pong { sent: at(sent), status })
    }

    fn silent(self, sent: f64, now: f64) -> Self {
        self.then(now, Event::PingFailed { sent: at(sent), problem: "no answer".into() })
    }

    fn requests(self, now: f64, in_flight: bool, last_ended: Option<f64>) -> Self {
        self.then(now, Event::Requests(Requests { in_flight, last_ended: last_ended.map(at) }))
    }

    fn closes(&self) -> Option<StopKind> {
        self.actions.iter().find_map(|action| match action {
            Action::CloseGate(reason) => Some(reason.kind),
            _ => None,
        })
    }

    fn stopping(&self) -> Option<StopKind> {
        match self.life.state() {
            State::Stopping { reason, .. } => Some(reason.kind),
            _ => None,
        }
    }

    fn idle_since(&self) -> Option<Moment> {
        match self.life.state() {
            State::Idle { since } => Some(*since),
            _ => None,
        }
    }
}

#[test]
fn the_first_ping_is_sent_as_soon_as_the_program_runs() {
    assert_eq!(Driven::started().actions, [Action::Ping]);
}

#[test]
fn a_session_that_never_answers_ends_after_the_startup_limit_and_says_what_was_seen() {
    let driven = Driven::started().silent(0.0, 1.0).then(119.9, Event::Tick);
    assert_eq!(driven.stopping(), None);
    let driven = driven.then(120.0, Event::Tick);
    let State::Stopping { reason, .. } = driven.life.state() else {
        panic!("{driven:?}", driven = driven.life)
    };
    assert_eq!(reason.to_string(), "StartupFailed: no good answer to GET /ping within 120 s: no answer");
    assert!(driven.actions.contains(&Action::Terminate));
}

#[test]
fn a_first_ping_that_hangs_is_told_from_a_program_that_does_not_run() {
    let rules = Rules { startup: 3 * SECOND, ..rules() };
    let reason = |spawned: bool, refused: bool| {
        let mut driven = Driven { life: Lifecycle::new(rules, at(0.0)), actions: Vec::new() };
        if spawned {
            driven = driven.then(0.0, Event::Spawned);
        }
        if refused {
            driven = driven.silent(0.0, 0.1).then(1.0, Event::Tick);
        }
        let driven = driven.then(3.0, Event::Tick);
        let State::Stopping { reason, .. } = driven.life.state() else { panic!("{:?}", driven.life) };
        reason.detail.clone()
    };
    let hung = |seconds: u32| {
        format!(
            "no good answer to GET /ping within 3 s: the latest has hung for {seconds} s: nothing takes it, or \
             what does never answers"
        )
    };
    assert_eq!(reason(true, false), hung(3));
    assert_eq!(reason(true, true), hung(2));
    assert_eq!(
        reason(false, false),
        "no good answer to GET /ping within 3 s: its program did not run by then"
    );
}

#[test]
fn pings_of_a_starting_session_come_quickly_at_first() {
    let mut driven = Driven::started();
    let mut waits = Vec::new();
    for _ in 0..6 {
        driven = driven.silent(0.0, 1.0);
        waits.push(driven.life.wake_at().unwrap().since(at(1.0)).as_millis());
    }
    assert_eq!(waits, [5, 10, 20, 40, 50, 50]);
}

#[test]
fn idleness_is_counted_from_the_end_of_the_last_request_but_only_once_a_later_ping_says_healthy() {
    let busy = Driven::idle().requests(10.0, true, None);
    assert!(matches!(busy.life.state(), State::Active { .. }));
    let stale = busy.requests(20.0, false, Some(20.0)).pong(19.0, 20.5, PingStatus::Healthy);
    assert_eq!(stale.idle_since(), None, "a ping sent before the request ended knows nothing");
    let fresh = stale.pong(22.0, 22.1, PingStatus::Healthy);
    assert_eq!(fresh.idle_since(), Some(at(20.0)));
}

#[test]
fn a_request_that_came_and_went_between_two_looks_restarts_the_idle_clock() {
    let driven = Driven::idle().requests(50.0, false, Some(49.0)).pong(51.0, 51.1, PingStatus::Healthy);
    assert_eq!(driven.idle_since(), Some(at(49.0)));
}

#[test]
fn an_idle_session_ends_on_a_healthy_ping_that_was_sent_at_its_deadline() {
    let early = Driven::idle().pong(900.9, 901.5, PingStatus::Healthy);
    assert_eq!(early.closes(), None, "sent before the deadline");
    assert!(early.actions.contains(&Action::Ping), "the deadline asks for a ping at once");
    let closing = early.pong(901.5, 901.6, PingStatus::Healthy);
    assert_eq!(closing.closes(), Some(StopKind::IdleTimeout));
    let reason = StopReason::idle(900 * SECOND);
    assert_eq!(closing.then(901.6, Event::GateClosed(reason)).stopping(), Some(StopKind::IdleTimeout));
}

#[test]
fn a_request_that_slips_in_before_the_gate_closes_saves_the_session() {
    let closing = Driven::idle().pong(901.0, 901.1, PingStatus::Healthy);
    assert_eq!(closing.closes(), Some(StopKind::IdleTimeout));
    let saved = closing.requests(901.1, true, None).pong(903.0, 903.1, PingStatus::Healthy);
    assert!(matches!(saved.life.state(), State::Active { .. }));
    assert_eq!(saved.closes(), None);
}

#[test]
fn one_busy_ping_at_the_deadline_keeps_a_session_alive() {
    let busy = Driven::idle().pong(901.0, 901.1, PingStatus::HealthyBusy);
    assert!(matches!(busy.life.state(), State::Active { status: PingStatus::HealthyBusy }));
    let idle = busy.pong(903.0, 903.1, PingStatus::Healthy);
    assert_eq!(idle.idle_since(), Some(at(903.1)), "the clock starts anew");
    assert_eq!(idle.closes(), None);
}

#[test]
fn a_silent_session_last_seen_idle_is_given_up_after_30_seconds() {
    let silent = Driven::idle().silent(10.0, 12.0).silent(14.0, 24.0);
    assert_eq!(silent.closes(), None);
    let given_up = silent.then(40.0, Event::Tick);
    assert_eq!(given_up.closes(), Some(StopKind::HealthCheckFailed));
}

#[test]
fn a_silent_session_last_seen_busy_gets_15_minutes() {
    let silent =
        Driven::idle().pong(5.0, 5.0, PingStatus::HealthyBusy).silent(10.0, 20.0).then(909.0, Event::Tick);
    assert_eq!(silent.stopping(), None);
    assert_eq!(silent.then(910.0, Event::Tick).stopping(), Some(StopKind::HealthCheckFailed));
}

#[test]
fn silence_right_after_a_request_counts_as_busy_because_the_request_may_have_left_work() {
    let silent =
        Driven::idle().requests(10.0, true, None).requests(11.0, false, Some(11.0)).silent(12.0, 22.0);
    assert_eq!(silent.life.wake_at().unwrap().min(at(30.0)), at(24.0));
    let later = silent.then(100.0, Event::Tick);
    assert_eq!((later.stopping(), later.closes()), (None, None));
}

#[test]
fn the_idle_clock_of_a_session_that_was_blocked_starts_when_it_answers_again() {
    let silent = Driven::idle().requests(10.0, false, Some(10.0)).silent(12.0, 22.0);
    let answering = silent.pong(1_000.0, 1_001.0, PingStatus::Healthy);
    assert_eq!((answering.idle_since(), answering.closes()), (Some(at(1_001.0)), None));
}

#[test]
fn a_host_that_was_stopped_itself_does_not_blame_its_agents() {
    let woken = Driven::idle().silent(3.0, 500.0);
    assert_eq!((woken.stopping(), woken.closes()), (None, None));
    assert_eq!(woken.pong(502.0, 502.1, PingStatus::Healthy).idle_since(), Some(at(1.0)));
}

#[test]
fn maximum_life_ends_a_session_however_busy_it_is() {
    let busy = Driven::idle().requests(10.0, true, None).pong(28_799.0, 28_799.0, PingStatus::HealthyBusy);
    assert_eq!(busy.stopping(), None);
    assert_eq!(busy.then(28_800.0, Event::Tick).stopping(), Some(StopKind::MaxLifetime));
}

#[test]
fn who_does_not_leave_within_the_grace_period_is_killed_and_killed_again() {
    let asked = StopReason::new(StopKind::StopRequested, "asked");
    let stopping = Driven::idle().then(10.0, Event::Stop(asked.clone()));
    assert!(stopping.actions.contains(&Action::Terminate));
    assert_eq!(stopping.life.wake_at(), Some(at(40.0)));
    let killed = stopping.then(40.0, Event::Tick);
    assert_eq!(killed.actions, [Action::Record(Note::Killed), Action::Kill]);
    let again = killed.then(45.0, Event::Tick);
    assert_eq!(again.actions, [Action::Kill]);
    let ended = again.then(46.0, Event::Exited("ended by signal 9".into()));
    assert_eq!(ended.life.state(), &State::Stopped { reason: asked });
    assert_eq!(ended.life.wake_at(), None);
}

#[test]
fn a_pong_that_arrives_while_stopping_changes_nothing() {
    let asked = StopReason::new(StopKind::StopRequested, "asked");
    let stopping = Driven::idle().then(10.0, Event::Stop(asked)).pong(9.0, 11.0, PingStatus::HealthyBusy);
    assert_eq!(stopping.stopping(), Some(StopKind::StopRequested));
    assert_eq!(stopping.life.wake_at(), Some(at(40.0)), "busy does not extend the grace period");
}

#[test]
fn an_exit_before_the_first_healthy_ping_is_a_failed_start() {
    let ended = Driven::started().then(1.0, Event::Exited("exited with code 1".into()));
    let reason = StopReason::new(StopKind::StartupFailed, "exited with code 1");
    assert_eq!(ended.life.state(), &State::Stopped { reason });
}

#[test]
fn an_adopted_idle_session_keeps_its_idle_clock_but_gives_its_callers_a_minute() {
    let adopt = |idle_since: f64, now: f64| {
        let left = Adopted::Running { idle_since: Some(at(idle_since)) };
        let (life, actions) = Lifecycle::adopt(rules(), at(0.0), left, at(now));
        assert_eq!(actions, [Action::Ping]);
        Driven { life, actions }.pong(now + 0.1, now + 0.2, PingStatus::Healthy).idle_since().unwrap()
    };
    assert_eq!(adopt(100.0, 200.0), at(100.0));
    assert_eq!(adopt(100.0, 5_000.0), at(5_000.0 - 840.0));
}

#[test]
fn a_session_that_outlived_its_maximum_life_without_a_host_is_stopped_on_adoption() {
    let left = Adopted::Running { idle_since: None };
    let (life, actions) = Lifecycle::adopt(rules(), at(-30_000.0), left, at(0.0));
    assert!(matches!(life.state(), State::Stopping { reason, .. } if reason.kind == StopKind::MaxLifetime));
    assert!(actions.contains(&Action::Terminate));
}
