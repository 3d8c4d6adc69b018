//! Tasks, as the journals of agents tell them.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use agentcore_sandbox::{ExitStatus, InMemoryAgent};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestHost, session_id};

/// The journal of an agent, as its SDK would keep it.
struct Journal(PathBuf);

impl Journal {
    fn of(agent: &InMemoryAgent) -> Self {
        let folder = agent.spec().folder.join("journal");
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder.join("tasks.jsonl"))
    }

    fn write(&self, line: impl AsRef<[u8]>) {
        let mut file = std::fs::File::options().create(true).append(true).open(&self.0).unwrap();
        file.write_all(&[line.as_ref(), b"\n"].concat()).unwrap();
    }

    fn started(&self, task: u64) {
        self.write(json!({"at": 1, "task_id": task, "event": "started", "name": "t"}).to_string());
    }

    fn progress(&self, task: u64, progress: f64) {
        self.write(json!({"at": 1, "task_id": task, "event": "progress", "progress": progress}).to_string());
    }

    fn completed(&self, task: u64, result: &str) {
        self.write(json!({"at": 1, "task_id": task, "event": "completed", "result": result}).to_string());
    }
}

/// A host with one session, and the journal of its agent.
async fn begin(name: &str) -> (TestHost, String, Journal) {
    let host = TestHost::start().await;
    let session = session_id(name);
    host.invoke(&session, r#"{"do": "busy"}"#).await;
    let journal = Journal::of(&host.kind.agents()[0]);
    (host, session, journal)
}

async fn list(host: &TestHost, query: &str) -> Vec<Value> {
    let answer = host.get(&format!("/_agentcore/v1/tasks{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["tasks"].as_array().unwrap().clone()
}

/// Waits until the one task there is looks so.
async fn until(host: &TestHost, looks: impl Fn(&Value) -> bool) -> Value {
    loop {
        if let Some(task) = list(host, "").await.into_iter().find(&looks) {
            return task;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn path(task: &Value) -> String {
    let incarnation = task["incarnation"].as_str().unwrap();
    format!("/_agentcore/v1/tasks/{incarnation}/{}", task["task_id"])
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_writes_of_its_tasks_can_be_read_and_waited_for() {
    let (host, session, journal) = begin("work").await;
    journal.started(7);
    journal.progress(7, 0.25);
    let task = until(&host, |task| task["progress"] == 0.25).await;
    assert_eq!(
        (&task["status"], &task["name"], &task["agent"]),
        (&json!("running"), &json!("t"), &json!("tester"))
    );
    assert_eq!((&task["session_id"], &task["ended_at"]), (&json!(session), &Value::Null));

    let wait = format!("{}?wait=200", path(&task));
    let early = host.request(Method::DELETE, &path(&task)).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "{early:?}");
    let (waited, ()) = tokio::join!(host.get(&wait), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        journal.completed(7, "done");
    });
    let ended = waited.json();
    assert_eq!((&ended["status"], &ended["result"]), (&json!("completed"), &json!("done")));
    let patience = host.get(&format!("{}?wait=0.1", path(&task))).await;
    assert_eq!(patience.json()["result"], "done");
    assert_eq!(host.request(Method::DELETE, &path(&task)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(host.get(&path(&task)).await.status, StatusCode::NOT_FOUND);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_written_at_the_very_end_is_on_record_and_what_still_ran_is_lost() {
    let (host, session, journal) = begin("exits").await;
    journal.started(1);
    journal.started(2);
    journal.completed(1, "just in time");
    host.kind.agents()[0].exit(ExitStatus::Code(3));
    let lost = until(&host, |task| task["status"] == "lost").await;
    assert_eq!((&lost["task_id"], &lost["reason"]["kind"]), (&json!(2), &json!("ProcessExited")), "{lost}");
    let completed = list(&host, &format!("?session={session}&status=completed")).await;
    assert_eq!(completed[0]["result"], "just in time");
    let refused = host.request(Method::POST, &format!("{}/cancel", path(&lost))).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (StatusCode::CONFLICT, &json!("The task is not running: it is lost"))
    );
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_host_reads_on_where_the_last_one_ended() {
    let (host, _, journal) = begin("restart").await;
    journal.started(1);
    until(&host, |task| task["task_id"] == 1).await;
    let host = {
        let (options, kind, clock) = host.parts();
        let TestHost { host: first, folder, behaviour, .. } = host;
        first.serve_until(std::future::ready(())).await.unwrap();
        // While no host is there.
        journal.started(2);
        journal.completed(1, "meanwhile");
        let next =
            agentcore_runtime::Host::start(options.clone(), std::sync::Arc::new(kind.clone()), clock.clone());
        TestHost::adopt(next.await.unwrap(), kind, behaviour, folder, options, clock)
    };
    let task = until(&host, |task| task["status"] == "completed").await;
    assert_eq!(task["result"], "meanwhile");
    assert_eq!(list(&host, "?task_id=2").await[0]["status"], "running");
    journal.completed(2, "after");
    until(&host, |task| task["result"] == "after").await;
    assert_eq!(list(&host, "").await.len(), 2, "each is there once");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_a_session_ended_without_a_host_is_read_by_the_next() {
    let (host, _, journal) = begin("gone").await;
    let agent = host.kind.agents().remove(0);
    let (options, kind, clock) = host.parts();
    let TestHost { host: first, folder, behaviour, .. } = host;
    first.serve_until(std::future::ready(())).await.unwrap();
    journal.started(1);
    journal.started(2);
    journal.completed(2, "done");
    agent.exit(ExitStatus::Signal(9));
    let next =
        agentcore_runtime::Host::start(options.clone(), std::sync::Arc::new(kind.clone()), clock.clone());
    let host = TestHost::adopt(next.await.unwrap(), kind, behaviour, folder, options, clock);
    assert_eq!(list(&host, "?status=completed").await.len(), 1);
    let lost = list(&host, "?status=lost").await;
    assert_eq!(lost[0]["reason"]["detail"], "ended by signal 9 (SIGKILL)");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_was_put_aside_is_read_to_its_end_and_removed() {
    let (host, session, journal) = begin("aside").await;
    journal.started(1);
    until(&host, |task| task["task_id"] == 1).await;
    let previous = journal.0.with_file_name("tasks.1.jsonl");
    journal.completed(1, "before");
    std::fs::rename(&journal.0, &previous).unwrap();
    journal.started(2);
    until(&host, |task| task["task_id"] == 2).await;
    assert_eq!(list(&host, "?task_id=1").await[0]["result"], "before");
    while previous.exists() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    journal.completed(2, "after");
    until(&host, |task| task["result"] == "after").await;
    assert!(!host.timeline(&session).await.contains(&"journal_restarted".to_owned()));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_full_of_garbage_harms_nobody_and_is_told() {
    let (host, session, journal) = begin("garbage").await;
    journal.write("no json");
    journal.write([0xff, 0xfe, 0x00]);
    journal.write(vec![b'x'; 5 << 20]);
    journal.write(r#"{"at":1,"task_id":0,"event":"started","name":"no id"}"#);
    journal.started(3);
    until(&host, |task| task["task_id"] == 3).await;
    assert_eq!(list(&host, "").await.len(), 1);
    let timeline = host.timeline(&session).await;
    assert!(timeline.contains(&"journal_lines_left_out".to_owned()), "{timeline:?}");
    assert_eq!(host.state(&session).await, "active");

    std::fs::write(&journal.0, "").unwrap();
    journal.started(4);
    until(&host, |task| task["task_id"] == 4).await;
    assert!(host.timeline(&session).await.contains(&"journal_restarted".to_owned()));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_is_a_link_is_not_followed() {
    let (host, session, journal) = begin("link").await;
    let others = host.folder.path().join("others");
    std::fs::write(&others, "{\"at\":1,\"task_id\":9,\"event\":\"started\",\"name\":\"secret\"}\n").unwrap();
    symlink(&others, &journal.0).unwrap();
    while !host.timeline(&session).await.contains(&"journal_unreadable".to_owned()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(list(&host, "").await.is_empty());
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_sdk_cannot_cancel_is_told_from_one_that_can() {
    let (host, _, journal) = begin("cancel").await;
    journal.started(5);
    let task = until(&host, |task| task["task_id"] == 5).await;
    let refused = host.request(Method::POST, &format!("{}/cancel", path(&task))).await;
    assert_eq!(refused.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(refused.json()["error"], "This agent's SDK cannot cancel tasks");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_wrongly_is_refused_with_a_reason() {
    let (host, _, journal) = begin("wrong").await;
    journal.started(5);
    let task = until(&host, |task| task["task_id"] == 5).await;
    let unknown = path(&task).replace("/5", "/6");
    for (path, status) in [
        (unknown.as_str(), 404),
        ("/_agentcore/v1/tasks/x/1", 404),
        ("/_agentcore/v1/tasks?status=done", 400),
        ("/_agentcore/v1/tasks?session=short", 400),
        ("/_agentcore/v1/tasks?before=7", 400),
        (&format!("{}?wait=-1", path(&task)), 400),
        (&format!("{}?wait=NaN", path(&task)), 400),
        (&format!("{}?wait=soon", path(&task)), 400),
    ] {
        let answer = host.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {answer:?}");
        assert!(answer.json()["error"].is_string());
    }
    assert_eq!(host.request(Method::POST, &format!("{unknown}/cancel")).await.status, StatusCode::NOT_FOUND);
    host.end().await;
}
