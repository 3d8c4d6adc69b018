//! Tasks by hand: guards, spawned work, cancellation, and what is on record afterwards.

use std::sync::mpsc;

use bedrock_agentcore::{App, FinishedLimits, TaskError, TaskId, TaskRecord, TaskStatus, Tasks};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc as channel, oneshot};

use crate::support::{TellsItsEnd, invoke, service, soon, status};

fn record(tasks: &Tasks, id: TaskId) -> TaskRecord {
    tasks.get_async_task(id).expect("it is on record")
}

fn brief(tasks: &Tasks, id: TaskId) -> Value {
    let record = serde_json::to_value(record(tasks, id)).unwrap();
    let kept = ["status", "metadata", "progress", "result", "error"];
    kept.iter().filter_map(|&key| Some((key.to_owned(), record.get(key)?.clone()))).collect()
}

#[tokio::test]
async fn the_seeds_manual_way_counts_a_task_until_it_is_completed() {
    let app = App::new();
    let id = app.add_async_task("data_processing", json!({"batch": 100}));
    assert_eq!(app.get_current_ping_status().await.as_str(), "HealthyBusy");
    let info = app.get_async_task_info();
    assert_eq!((info.active_count, info.running_jobs[0].name.as_str()), (1, "data_processing"));
    assert_eq!(info.running_jobs[0].metadata.as_ref().unwrap().get(), r#"{"batch":100}"#);
    assert!(app.complete_async_task(id));
    assert!(!app.complete_async_task(id), "it was completed before");
    assert!(!app.complete_async_task(TaskId::from_random(1)), "it was never started");
    assert_eq!(app.get_current_ping_status().await.as_str(), "Healthy");
    assert_eq!(brief(&app.tasks(), id), json!({"status": "completed", "metadata": {"batch": 100}}));
}

#[tokio::test]
async fn no_metadata_is_none_whichever_way_it_is_said() {
    let tasks = App::new().tasks();
    let ids = [
        tasks.add_async_task("t", ()),
        tasks.add_async_task("t", None::<u8>),
        tasks.task("t").metadata(()).start().id(),
        tasks.task("t").start().id(),
    ];
    assert!(ids.iter().all(|&id| record(&tasks, id).metadata.is_none()));
}

#[tokio::test]
async fn a_guard_completes_its_task_however_it_goes() {
    let tasks = App::new().tasks();
    let start = || tasks.task("t").start();

    let dropped = start();
    let id = dropped.id();
    drop(dropped);
    assert_eq!(brief(&tasks, id), json!({"status": "completed"}));

    let completed = start();
    let id = completed.id();
    completed.report_progress(json!({"rows": 1}));
    completed.complete([1, 2]);
    assert_eq!(brief(&tasks, id), json!({"status": "completed", "progress": {"rows": 1}, "result": [1, 2]}));

    let failed = start();
    let id = failed.id();
    failed.fail("no such table");
    let error = json!({"type": "Error", "message": "no such table"});
    assert_eq!(brief(&tasks, id), json!({"status": "failed", "error": error}));

    let panicked = start();
    let id = panicked.id();
    let thread = std::thread::spawn(move || {
        let _task = panicked;
        panic!("on purpose");
    });
    thread.join().unwrap_err();
    assert_eq!(brief(&tasks, id)["status"], "failed");
    assert_eq!(brief(&tasks, id)["error"]["type"], "panic");
    assert_eq!(tasks.active_count(), 0);
}

#[tokio::test]
async fn a_spawned_task_is_tracked_at_once_and_its_value_kept() {
    let app = App::new();
    let tasks = app.tasks();
    let service = service(app);
    let (go, gate) = oneshot::channel::<()>();
    let handle = tasks.task("t").metadata(1).spawn(async move |task| {
        task.report_progress(0.5);
        gate.await.unwrap();
        Ok::<_, String>("done")
    });
    assert_eq!(status(&service).await, "HealthyBusy");
    let id = handle.id();
    go.send(()).unwrap();
    assert_eq!(soon(handle).await.unwrap().unwrap(), "done");
    assert_eq!(status(&service).await, "Healthy");
    assert_eq!(
        brief(&tasks, id),
        json!({"status": "completed", "metadata": 1, "progress": 0.5, "result": "done"})
    );
}

#[tokio::test]
async fn an_error_or_a_panic_is_on_record_and_nothing_stays_busy() {
    let tasks = App::new().tasks();
    let failed = tasks.task("t").spawn(async |_| "x".parse::<u8>());
    let id = failed.id();
    soon(failed).await.unwrap().unwrap_err();
    let error = json!({"type": "ParseIntError", "message": "invalid digit found in string"});
    assert_eq!(brief(&tasks, id), json!({"status": "failed", "error": error}));

    let panicked = tasks.task("t").spawn(async |_| -> u8 { panic!("boom {}", 1) });
    let id = panicked.id();
    assert_eq!(soon(panicked).await, Err(TaskError::Panicked("boom 1".into())));
    let error = json!({"type": "panic", "message": "boom 1"});
    assert_eq!(brief(&tasks, id), json!({"status": "failed", "error": error}));

    let blocked = tasks.task("t").spawn_blocking(|_| -> u8 { panic!("on a thread") });
    let id = blocked.id();
    assert_eq!(soon(blocked).await, Err(TaskError::Panicked("on a thread".into())));
    assert_eq!(brief(&tasks, id)["error"]["message"], "on a thread");
    assert_eq!(tasks.active_count(), 0);
}

struct Bomb;

impl Serialize for Bomb {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("not serializable")
    }
}

#[tokio::test]
async fn a_panic_while_the_result_is_serialized_is_a_failure_of_the_task() {
    let tasks = App::new().tasks();
    let handle = tasks.task("t").spawn(async |_| Bomb);
    let id = handle.id();
    assert!(matches!(soon(handle).await, Err(TaskError::Panicked(_))));
    assert_eq!(brief(&tasks, id)["error"], json!({"type": "panic", "message": "not serializable"}));
    let handle = tasks.task("t").spawn_blocking(|_| Bomb);
    let id = handle.id();
    assert!(matches!(soon(handle).await, Err(TaskError::Panicked(_))));
    assert_eq!(brief(&tasks, id)["status"], "failed");
}

#[tokio::test]
async fn a_cancelled_future_is_gone_before_the_record_says_so() {
    let tasks = App::new().tasks();
    let (said, mut end) = channel::unbounded_channel();
    struct LooksAtItsRecord(Tasks, TaskId, channel::UnboundedSender<TaskStatus>);
    impl Drop for LooksAtItsRecord {
        fn drop(&mut self) {
            let _ = self.2.send(record(&self.0, self.1).status);
        }
    }
    let looks = tasks.clone();
    let handle = tasks.task("t").spawn(async move |task| {
        let _held = LooksAtItsRecord(looks, task.id(), said);
        std::future::pending::<()>().await;
    });
    let id = handle.id();
    tokio::task::yield_now().await;
    assert!(tasks.cancel(id));
    assert_eq!(soon(handle).await, Err(TaskError::Cancelled));
    assert_eq!(soon(end.recv()).await, Some(TaskStatus::Running), "what it held went first");
    assert_eq!(brief(&tasks, id), json!({"status": "cancelled"}));
    assert!(!tasks.cancel(id), "it has ended");
}

#[tokio::test]
async fn a_destructor_that_panics_on_cancellation_is_a_failure() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let tasks = App::new().tasks();
    let handle = tasks.task("t").spawn(async |_| {
        let _held = PanicsInDrop;
        std::future::pending::<()>().await;
    });
    let id = handle.id();
    tokio::task::yield_now().await;
    handle.cancel();
    assert_eq!(soon(handle).await, Err(TaskError::Panicked("in drop".into())));
    assert_eq!(brief(&tasks, id)["status"], "failed");
    assert_eq!(tasks.active_count(), 0);
}

#[tokio::test]
async fn a_blocking_task_sees_that_it_is_cancelled_and_ends_as_it_likes() {
    let tasks = App::new().tasks();
    let (begun, mut has_begun) = channel::unbounded_channel();
    let handle = tasks.task("t").spawn_blocking(move |task| {
        begun.send(()).unwrap();
        while !task.is_cancelled() {
            std::thread::yield_now();
        }
        "half"
    });
    let id = handle.id();
    soon(has_begun.recv()).await.unwrap();
    assert_eq!(brief(&tasks, id)["status"], "running");
    handle.cancel();
    assert_eq!(soon(handle).await, Ok("half"));
    assert_eq!(brief(&tasks, id), json!({"status": "cancelled"}));
}

#[tokio::test]
async fn a_guards_code_sees_that_it_is_cancelled() {
    let tasks = App::new().tasks();
    let guard = tasks.task("t").start();
    assert!(!guard.is_cancelled());
    assert!(tasks.cancel(guard.id()));
    soon(guard.cancelled()).await;
    let id = guard.id();
    guard.complete("ignored");
    assert_eq!(brief(&tasks, id), json!({"status": "cancelled"}));
    let failed = tasks.task("t").start();
    let id = failed.id();
    tasks.cancel(id);
    failed.fail("could not stop cleanly");
    assert_eq!(brief(&tasks, id)["status"], "failed", "an error is never lost");
}

#[tokio::test]
async fn tasks_of_a_handler_outlive_its_request_and_dropped_handles_change_nothing() {
    let (said, mut end) = channel::unbounded_channel();
    let (go, gate) = oneshot::channel::<()>();
    let gate = std::sync::Mutex::new(Some((gate, TellsItsEnd(said))));
    let app = App::new().entrypoint(move |_: Value, tasks: Tasks| {
        let (gate, held) = gate.lock().unwrap().take().unwrap();
        let task = tasks.task("t").spawn(async move |_| {
            gate.await.unwrap();
            drop(held);
        });
        let id = task.id();
        async move { id }
    });
    let tasks = app.tasks();
    let service = service(app);
    let id: TaskId = serde_json::from_value(invoke(&service, "{}").await.json()).unwrap();
    assert_eq!(status(&service).await, "HealthyBusy");
    go.send(()).unwrap();
    assert_eq!(soon(end.recv()).await, Some("dropped"));
    while record(&tasks, id).status == TaskStatus::Running {
        tokio::task::yield_now().await;
    }
    assert_eq!(brief(&tasks, id), json!({"status": "completed", "result": null}));
    assert_eq!(status(&service).await, "Healthy");
}

#[test]
fn tasks_are_spawned_from_threads_of_ones_own_once_the_app_is_served() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let app = App::new();
    let tasks = app.tasks();
    let _service = runtime.block_on(async { service(app) });
    let handle = std::thread::spawn(move || tasks.task("t").spawn(async |_| 7)).join().unwrap();
    assert_eq!(runtime.block_on(handle), Ok(7));
}

#[test]
fn tasks_left_over_when_their_runtime_ends_are_cancelled() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tasks = App::new().tasks();
    let entered = runtime.enter();
    let handle = tasks.task("t").spawn(async |_| std::future::pending::<()>().await);
    drop(entered);
    drop(runtime);
    assert_eq!(record(&tasks, handle.id()).status, TaskStatus::Cancelled);
    assert_eq!(tasks.active_count(), 0);
}

#[tokio::test]
async fn finished_tasks_are_kept_within_their_bounds_newest_first_to_stay() {
    let tasks = App::new().finished_tasks(FinishedLimits { count: 3, bytes: 1 << 20 }).tasks();
    let ids: Vec<_> = (0..10)
        .map(|n| {
            let guard = tasks.task("t").start();
            let id = guard.id();
            guard.complete(n);
            id
        })
        .collect();
    let kept: Vec<_> = tasks.finished().iter().map(|record| record.task_id).collect();
    assert_eq!(kept, ids[7..]);
    assert!(tasks.get_async_task(ids[0]).is_none());
    assert_eq!(record(&tasks, ids[9]).result.unwrap().get(), "9");
}

#[tokio::test]
async fn what_json_cannot_hold_is_left_out_and_progress_says_so() {
    let tasks = App::new().tasks();
    let unspeakable = std::collections::HashMap::from([((1, 2), 3)]);
    let guard = tasks.task("t").metadata(&unspeakable).start();
    let id = guard.id();
    assert!(!tasks.report_progress(id, &unspeakable));
    assert!(tasks.report_progress(id, ()));
    guard.complete(&unspeakable);
    assert_eq!(brief(&tasks, id), json!({"status": "completed", "progress": null}));
    assert!(!tasks.report_progress(id, 1), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn durations_follow_the_clock_and_stop_with_the_task() {
    let tasks = App::new().tasks();
    let guard = tasks.task("t").start();
    let id = guard.id();
    tokio::time::advance(std::time::Duration::from_millis(1500)).await;
    assert_eq!(tasks.get_async_task_info().running_jobs[0].duration, 1.5);
    drop(guard);
    tokio::time::advance(std::time::Duration::from_secs(9)).await;
    assert_eq!(record(&tasks, id).duration, 1.5);
}

#[test]
fn threads_may_start_and_end_tasks_all_at_once() {
    let tasks = App::new().tasks();
    let (done, all) = mpsc::channel();
    for _ in 0..8 {
        let (tasks, done) = (tasks.clone(), done.clone());
        std::thread::spawn(move || {
            for n in 0..500 {
                let guard = tasks.task("t").start();
                guard.report_progress(n);
                if n % 3 == 0 { guard.fail("third") } else { guard.complete(n) }
            }
            done.send(()).unwrap();
        });
    }
    (0..8).for_each(|_| all.recv().unwrap());
    assert_eq!(tasks.active_count(), 0);
    assert_eq!(tasks.finished().len(), 1000);
}
