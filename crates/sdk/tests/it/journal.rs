//! The task journal, through `App::journal`.

use std::path::Path;

use agentcore_protocol::journal::{FILE_NAME, read};
use bedrock_agentcore::App;
use serde_json::{Value, json};

use crate::support::{HandClock, soon};

fn lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(FILE_NAME)).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_change_is_a_line_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let clock = HandClock::default();
    clock.set_seconds(1);
    let app = App::with_clock(clock.clone()).journal(folder.path());
    let tasks = app.tasks();
    let _service = app.into_service().unwrap();

    let first = tasks.task("first").metadata(json!({"batch": 1})).start();
    let second = tasks.task("second").spawn(async |_| -> u8 { panic!("boom") });
    let (a, b) = (first.id(), second.id());
    let _ = soon(second).await;
    clock.set_seconds(2);
    first.report_progress(());
    first.complete("ok");

    assert_eq!(
        lines(folder.path()),
        [
            json!({"at": 1000, "task_id": a, "event": "started", "name": "first", "metadata": {"batch": 1}}),
            json!({"at": 1000, "task_id": b, "event": "started", "name": "second"}),
            json!({"at": 1000, "task_id": b, "event": "failed", "error": {"type": "panic", "message": "boom"}}),
            json!({"at": 2000, "task_id": a, "event": "progress", "progress": null}),
            json!({"at": 2000, "task_id": a, "event": "completed", "result": "ok"}),
        ]
    );
    let read_back = read(&std::fs::read(folder.path().join(FILE_NAME)).unwrap());
    assert!(read_back.lines.iter().all(Result::is_ok));
}

#[tokio::test]
async fn tasks_that_began_before_the_app_is_served_are_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::new().journal(folder.path());
    let id = app.add_async_task("early", json!(7));
    let tasks = app.tasks();
    tasks.report_progress(id, 0.5);
    let _service = app.into_service().unwrap();
    tasks.complete_async_task(id);
    let events: Vec<_> = lines(folder.path()).into_iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["started", "progress", "completed"]);
}

#[tokio::test]
async fn lines_of_many_threads_stay_whole() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::new().journal(folder.path());
    let tasks = app.tasks();
    let _service = app.into_service().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|n| tasks.task("t").start().complete("x".repeat(n))));
        }
    });
    assert_eq!(lines(folder.path()).len(), 800);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let folder = file.path().join("journal");
    let error = App::new().journal(&folder).into_service().err().expect("it cannot be made").to_string();
    assert!(error.starts_with(&format!("cannot keep a task journal in {}", folder.display())), "{error}");
}
