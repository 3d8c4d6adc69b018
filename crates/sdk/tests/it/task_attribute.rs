//! `#[async_task]`: every kind of function, and every way to run one.

use std::sync::Arc;

use bedrock_agentcore::{App, TaskError, TaskRecord, TaskStatus, Tasks, async_task};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::support::{invoke, service, soon, status};

#[async_task]
async fn background_work() -> &'static str {
    "done"
}

#[async_task(name = "a better name")]
async fn named(n: u64) -> u64 {
    n + 1
}

#[async_task]
async fn generic<T>(value: T, times: usize) -> Vec<T>
where
    T: Serialize + Clone + Send,
{
    vec![value; times]
}

#[async_task]
async fn parses(text: String) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
    if text.is_empty() {
        return Err("nothing to parse".into());
    }
    let number = text.parse()?;
    Ok(number)
}

#[async_task]
async fn taken_apart((a, mut b): (u8, u8), mut c: u8) -> u8 {
    b += 1;
    c += 1;
    a + b + c
}

#[async_task]
async fn holds(_permit: tokio::sync::OwnedSemaphorePermit, gate: oneshot::Receiver<()>) {
    let _ = gate.await;
}

#[async_task]
async fn opaque(n: u8) -> impl Serialize + Send {
    n
}

#[async_task]
async fn panics() -> u8 {
    panic!("on purpose")
}

struct Indexer {
    documents: Vec<&'static str>,
}

impl Indexer {
    #[async_task]
    async fn count(&self, prefix: &str) -> usize {
        tokio::task::yield_now().await;
        self.documents.iter().filter(|document| document.starts_with(prefix)).count()
    }

    #[async_task]
    async fn consume(self: Arc<Self>) -> usize {
        self.documents.len()
    }

    #[async_task]
    async fn grow(&mut self) {
        self.documents.push("new");
    }
}

/// Runs `work` as a handler does, and says what is on record afterwards.
async fn on_record<F, T>(work: impl Fn() -> F + Send + Sync + 'static) -> (T, TaskRecord)
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let (sender, mut value) = tokio::sync::mpsc::unbounded_channel();
    let app = App::new().entrypoint(move |_: Value| {
        let (work, sender) = (work(), sender.clone());
        async move {
            let _ = sender.send(work.await);
        }
    });
    let tasks = app.tasks();
    assert_eq!(invoke(&service(app), "{}").await.status, 200);
    assert_eq!(tasks.active_count(), 0);
    (value.recv().await.unwrap(), tasks.finished().pop().expect("a record"))
}

fn result(record: &TaskRecord) -> &str {
    record.result.as_ref().map_or("", |result| result.get())
}

#[tokio::test]
async fn awaited_in_place_it_is_a_task_of_the_handlers_app() {
    let (value, record) = on_record(|| async { background_work().await }).await;
    assert_eq!(value, Ok("done"));
    assert_eq!((record.name.as_str(), result(&record)), ("background_work", r#""done""#));
}

#[tokio::test]
async fn spawned_either_way_it_is_one_too() {
    let (value, record) = on_record(|| async { named(1).spawn().await }).await;
    assert_eq!((value, record.name.as_str(), result(&record)), (Ok(2), "a better name", "2"));
    let (value, record) = on_record(|| async { tokio::spawn(named(2)).await.unwrap() }).await;
    assert_eq!((value, result(&record)), (Ok(3), "3"));
}

#[tokio::test]
async fn generic_functions_patterns_and_opaque_results_work() {
    let (value, _) = on_record(|| async { generic("x", 2).await }).await;
    assert_eq!(value, Ok(vec!["x", "x"]));
    let (value, _) = on_record(|| async { taken_apart((1, 2), 3).await }).await;
    assert_eq!(value, Ok(8));
    let (_, record) = on_record(|| async { opaque(5).await.map(drop) }).await;
    assert_eq!(result(&record), "5");
}

#[tokio::test]
async fn methods_may_take_self_in_any_form() {
    let indexer = || Indexer { documents: vec!["alpha", "beta", "apple"] };
    let (value, record) = on_record(move || async move { indexer().count("a").await }).await;
    assert_eq!((value, record.name.as_str(), result(&record)), (Ok(2), "count", "2"));
    let (value, _) = on_record(move || async move { Arc::new(indexer()).consume().spawn().await }).await;
    assert_eq!(value, Ok(3));
    let (value, _) = on_record(move || async move {
        let mut indexer = indexer();
        indexer.grow().await.unwrap();
        indexer.documents.len()
    })
    .await;
    assert_eq!(value, 4);
}

#[tokio::test]
async fn an_error_is_the_tasks_error_with_question_marks_and_early_returns() {
    let (value, record) =
        on_record(|| async { parses("x".into()).await.unwrap().map_err(|e| e.to_string()) }).await;
    assert_eq!(value, Err("invalid digit found in string".into()));
    assert_eq!(record.status, TaskStatus::Failed);
    assert_eq!(record.error.unwrap().message, "invalid digit found in string");
    let (value, _) = on_record(|| async { parses("7".into()).await.unwrap().unwrap() }).await;
    assert_eq!(value, 7);
}

#[tokio::test]
async fn a_panic_fails_the_task_and_not_the_handler_that_awaits_it() {
    let (value, record) = on_record(|| async { panics().await }).await;
    assert_eq!(value, Err(TaskError::Panicked("on purpose".into())));
    assert_eq!(record.error.unwrap().kind, "panic");
}

#[tokio::test]
async fn an_argument_that_is_not_used_is_held_until_the_end() {
    let permits = Arc::new(Semaphore::new(1));
    let (go, gate) = oneshot::channel();
    let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
    let app = App::new();
    let tasks = app.tasks();
    let (called, call) = oneshot::channel();
    let inputs = std::sync::Mutex::new(Some((permit, gate, called)));
    let service = service(app.entrypoint(move |_: Value| {
        let (permit, gate, called) = inputs.lock().unwrap().take().unwrap();
        assert!(called.send(holds(permit, gate).spawn()).is_ok());
        async {}
    }));
    invoke(&service, "{}").await;
    let handle = call.await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!((permits.available_permits(), tasks.active_count()), (0, 1));
    go.send(()).unwrap();
    soon(handle).await.unwrap();
    assert_eq!(permits.available_permits(), 1);
}

#[async_task]
async fn waits(gate: Arc<Notify>) {
    gate.notified().await;
}

#[tokio::test]
async fn it_counts_from_spawn_or_the_first_poll_and_until_it_is_dropped() {
    let gate = Arc::new(Notify::new());
    let handler_gate = Arc::clone(&gate);
    let app = App::new().entrypoint(move |_: Value, tasks: Tasks| {
        let gate = Arc::clone(&handler_gate);
        async move {
            let idle = waits(Arc::clone(&gate));
            assert_eq!(tasks.active_count(), 0, "a future does nothing by itself");
            drop(idle);
            let spawned = waits(Arc::clone(&gate)).spawn();
            assert_eq!(tasks.active_count(), 1);
            let aborted = tokio::spawn(waits(gate));
            tokio::task::yield_now().await;
            assert_eq!(tasks.active_count(), 2);
            aborted.abort();
            let _ = aborted.await;
            assert_eq!(tasks.finished().pop().unwrap().status, TaskStatus::Cancelled);
            json!(spawned.id())
        }
    });
    let tasks = app.tasks();
    let service = service(app);
    let id = serde_json::from_value(invoke(&service, "{}").await.json()).unwrap();
    assert_eq!(status(&service).await, "HealthyBusy");
    assert!(tasks.cancel(id));
    while tasks.active_count() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks.get_async_task(id).unwrap().status, TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_task_that_a_task_starts_is_the_same_apps() {
    #[async_task]
    async fn outer() -> u64 {
        named(1).spawn().await.unwrap_or_default()
    }
    let (value, record) = on_record(|| async { outer().spawn().await }).await;
    assert_eq!((value, record.name.as_str()), (Ok(2), "outer"));
}
