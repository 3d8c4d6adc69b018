//! The ping status: who decides, and what `/ping` does when an author's handler misbehaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bedrock_agentcore::{App, PingStatus};
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::support::{HandClock, ping, service, status};

use PingStatus::{Healthy, HealthyBusy};

#[tokio::test]
async fn forced_comes_before_custom_and_custom_before_automatic() {
    let custom_busy = Arc::new(AtomicBool::new(false));
    let busy = Arc::clone(&custom_busy);
    let app = App::new().ping(move || busy.load(Ordering::SeqCst));
    let (tasks, health) = (app.tasks(), app.health());
    let service = service(app);

    let task = tasks.task("t").start();
    assert_eq!(status(&service).await, "Healthy", "custom over automatic");
    custom_busy.store(true, Ordering::SeqCst);
    assert_eq!(status(&service).await, "HealthyBusy");
    health.force_ping_status(Healthy);
    assert_eq!(status(&service).await, "Healthy", "forced over custom");
    health.clear_forced_ping_status();
    assert_eq!(status(&service).await, "HealthyBusy");
    drop(task);
}

#[tokio::test]
async fn without_a_handler_tasks_decide() {
    let app = App::new();
    let (tasks, health) = (app.tasks(), app.health());
    let service = service(app);
    let (first, second) = (tasks.task("a").start(), tasks.task("b").start());
    assert_eq!(status(&service).await, "HealthyBusy");
    drop(first);
    assert_eq!(status(&service).await, "HealthyBusy");
    drop(second);
    assert_eq!(status(&service).await, "Healthy");
    health.force_ping_status(HealthyBusy);
    assert_eq!(status(&service).await, "HealthyBusy");
    assert_eq!(health.get_current_ping_status().await, HealthyBusy);
}

#[tokio::test]
async fn a_handler_may_be_sync_or_async_and_say_bools_statuses_or_results() {
    async fn asynchronous() -> PingStatus {
        HealthyBusy
    }
    for app in [
        App::new().ping(|| HealthyBusy),
        App::new().ping(|| true),
        App::new().ping(|| Ok::<_, String>(HealthyBusy)),
        App::new().ping(asynchronous),
        App::new().ping(async || true),
        App::new().ping(async || Ok::<_, anyhow::Error>(true)),
    ] {
        assert_eq!(status(&service(app)).await, "HealthyBusy");
    }
}

#[tokio::test]
async fn a_handler_that_fails_is_passed_over_for_the_automatic_rule() {
    for app in [
        App::new().ping(|| -> bool { panic!("sync") }),
        App::new().ping(|| Err::<bool, _>("sync")),
        App::new().ping(async || -> bool { panic!("async") }),
        App::new().ping(async || Err::<bool, _>("async")),
    ] {
        let tasks = app.tasks();
        let service = service(app);
        assert_eq!(status(&service).await, "Healthy");
        let task = tasks.task("t").start();
        assert_eq!(status(&service).await, "HealthyBusy");
        drop(task);
        assert_eq!(status(&service).await, "Healthy");
    }
}

/// A handler that answers at once, or hangs until it is let go; it counts its calls.
struct Moody {
    hangs: AtomicBool,
    busy: AtomicBool,
    calls: AtomicUsize,
    let_go: Notify,
}

fn moody(hangs: bool, busy: bool) -> (Arc<Moody>, App) {
    let moody = Arc::new(Moody {
        hangs: hangs.into(),
        busy: busy.into(),
        calls: AtomicUsize::new(0),
        let_go: Notify::new(),
    });
    let handler = Arc::clone(&moody);
    let app = App::new().ping(move || {
        let moody = Arc::clone(&handler);
        async move {
            moody.calls.fetch_add(1, Ordering::SeqCst);
            if moody.hangs.load(Ordering::SeqCst) {
                moody.let_go.notified().await;
            }
            moody.busy.load(Ordering::SeqCst)
        }
    });
    (moody, app)
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_gets_its_last_answer_repeated_until_it_returns() {
    let (moody, app) = moody(false, true);
    let service = service(app);
    assert_eq!(status(&service).await, "HealthyBusy");

    moody.hangs.store(true, Ordering::SeqCst);
    moody.busy.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    assert_eq!(status(&service).await, "HealthyBusy", "a blocked busy agent does not read as Healthy");
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    assert_eq!(status(&service).await, "HealthyBusy");
    assert_eq!(begun.elapsed(), Duration::from_secs(1), "later pings need not wait again");
    assert_eq!(moody.calls.load(Ordering::SeqCst), 2, "it is not called again before it returns");

    moody.hangs.store(false, Ordering::SeqCst);
    moody.let_go.notify_one();
    tokio::task::yield_now().await;
    assert_eq!(status(&service).await, "Healthy", "it recovers");
    assert_eq!(moody.calls.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_has_never_answered_leaves_it_to_the_automatic_rule() {
    let (_moody, app) = moody(true, true);
    let tasks = app.tasks();
    let service = service(app);
    assert_eq!(status(&service).await, "Healthy");
    let task = tasks.task("t").start();
    assert_eq!(status(&service).await, "HealthyBusy");
    drop(task);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_calls_a_hanging_handler_once() {
    let (moody, app) = moody(true, true);
    let service = service(app);
    let begun = Instant::now();
    let answers = join_all((0..500).map(|_| status(&service))).await;
    assert!(answers.iter().all(|answer| answer == "Healthy"));
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    assert_eq!(moody.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_forced_while_the_handler_thinks_stands() {
    let (moody, app) = moody(true, false);
    let health = app.health();
    let service = service(app);
    let pinged = tokio::spawn(async move { status(&service).await });
    while moody.calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    health.force_ping_status(HealthyBusy);
    moody.let_go.notify_one();
    assert_eq!(pinged.await.unwrap(), "HealthyBusy");
}

#[tokio::test(start_paused = true)]
async fn a_plain_function_that_blocks_for_ever_costs_one_thread_and_no_ping() {
    let (entered, mut has_entered) = mpsc::unbounded_channel();
    let (let_go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let app = App::new().ping(move || {
        entered.send(()).unwrap();
        let _ = gate.lock().unwrap().recv();
        true
    });
    let service = service(app);
    for _ in 0..10 {
        assert_eq!(status(&service).await, "Healthy");
    }
    has_entered.recv().await.unwrap();
    assert!(has_entered.try_recv().is_err(), "it was called once");
    drop(let_go);
}

#[test]
fn a_handler_whose_runtime_went_away_is_called_anew() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let app = App::new().ping(move || {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            true
        }
    });
    let service = service(app);
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    assert_eq!(runtime().block_on(status(&service)), "Healthy");
    assert_eq!(runtime().block_on(status(&service)), "HealthyBusy");
}

#[tokio::test]
async fn the_time_of_the_last_update_is_that_of_the_last_change() {
    let clock = HandClock::default();
    clock.set_seconds(100);
    let app = App::with_clock(clock.clone());
    let (tasks, health) = (app.tasks(), app.health());
    let service = service(app);
    let expect = |status, time| json!({"status": status, "time_of_last_update": time});

    clock.set_seconds(110);
    assert_eq!(ping(&service).await, expect("Healthy", 100), "a ping is no change");
    let first = tasks.task("a").start();
    clock.set_seconds(120);
    let second = tasks.task("b").start();
    clock.set_seconds(130);
    assert_eq!(ping(&service).await, expect("HealthyBusy", 110), "changes are seen when they happen");
    drop(first);
    health.force_ping_status(HealthyBusy);
    assert_eq!(ping(&service).await, expect("HealthyBusy", 110), "forcing the same is no change");
    clock.set_seconds(140);
    drop(second);
    assert_eq!(ping(&service).await, expect("HealthyBusy", 110));
    health.clear_forced_ping_status();
    clock.set_seconds(150);
    assert_eq!(ping(&service).await, expect("Healthy", 140));
}

#[tokio::test]
async fn a_custom_status_changes_the_time_when_it_is_seen_to_change() {
    let clock = HandClock::default();
    let busy = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&busy);
    let app = App::with_clock(clock.clone()).ping(move || says.load(Ordering::SeqCst));
    let service = service(app);
    for (now, is_busy, time) in [(10, false, 0), (20, true, 20), (30, true, 20), (40, false, 40)] {
        clock.set_seconds(now);
        busy.store(is_busy, Ordering::SeqCst);
        assert_eq!(ping(&service).await["time_of_last_update"], time);
    }
}

#[test]
#[should_panic(expected = "an app has one ping handler")]
fn a_second_handler_is_a_mistake() {
    let _ = App::new().ping(|| true).ping(|| false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_pings_and_tasks_race_the_status_is_right_once_they_rest() {
    let app = App::new();
    let tasks = app.tasks();
    let service = service(app);
    for _ in 0..200 {
        let pings = tokio::spawn({
            let service = service.clone();
            async move {
                for _ in 0..20 {
                    status(&service).await;
                }
            }
        });
        for _ in 0..20 {
            drop(tasks.task("t").start());
        }
        let left = tasks.task("t").start();
        pings.await.unwrap();
        assert_eq!(status(&service).await, "HealthyBusy");
        drop(left);
        assert_eq!(status(&service).await, "Healthy");
    }
}
