//! A power failure: a killed process leaves what it has written to the system, a machine without
//! power only what was synced. The host runs under `strace`; what it wrote and synced is followed up
//! to random moments, what was not synced is forgotten, and a new host must find on what is left
//! everything that callers were told by then.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::process::Command;

use super::kills::call;
use super::promises::Promises;
use super::trace::{CALLS, Happened, left_after, read};
use super::{Book, fastrand_millis};
use crate::support::{PATIENCE, Project, agentcore, eventually, processes};

/// How many callers ask, and how many each read streams and have tasks begun.
const CALLERS: (usize, usize) = (6, 1);

#[tokio::test]
async fn a_few_power_failures_lose_nothing_that_was_acknowledged() {
    fail_under_load(20, 3).await;
}

#[tokio::test]
#[ignore = "a host starts on what is left at forty moments"]
async fn a_power_failure_at_any_moment_loses_nothing_that_was_acknowledged() {
    fail_under_load(150, 40).await;
}

/// Has a host acknowledge so many invocations, with all that comes with them, and lets the power fail so often.
async fn fail_under_load(enough: usize, failures: usize) {
    if Command::new("strace").arg("--version").output().await.is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "strace is not installed, and must be in CI");
        println!("skipped: strace is not installed");
        return;
    }
    let project = Project::with_test_agent(&[]).await;
    let (happened, book) = run_under_strace(&project, enough).await;
    let all = Promises::of(&happened).count();
    assert!(all[0] >= enough && all.iter().all(|some| *some > 0), "only {all:?} are in the trace");
    // The end is a moment, too: by then everything was promised.
    lose_power(&happened, &book, happened.len(), false).await;
    for round in 1..failures {
        let moment = usize::try_from(fastrand_millis(happened.len() as u64)).unwrap();
        lose_power(&happened, &book, moment, round % 2 == 1).await;
    }
    println!("{failures} power failures; acknowledged, ended, items and tasks: {all:?}");
}

/// Has callers ask a host, and returns all it did, and what they know.
async fn run_under_strace(project: &Project, enough: usize) -> (Vec<Happened>, Arc<Book>) {
    let (state, trace) = (project.path().join(".agentcore"), project.path().join("trace"));
    let marks = project.path().join("marks");
    super::keep_marks(&marks);
    let mut strace = Command::new("strace");
    strace.args(["-f", "--seccomp-bpf", "-y", "-xx", "-s", "1000000", "-e", CALLS, "-o"]).arg(&trace);
    strace.arg(agentcore()).arg("serve").arg("--read-only").arg(std::env::current_exe().unwrap());
    strace.args(["--listen", "127.0.0.1:0", "--on-shutdown", "stop", "--state"]);
    strace.arg(&state).current_dir(project.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace = strace.kill_on_drop(true).spawn().unwrap();
    let record = eventually("the host serves", || async {
        serde_json::from_slice::<Value>(&std::fs::read(state.join("host.json")).ok()?).ok()
    })
    .await;
    let book = Book::at(record["url"].as_str().unwrap());
    let callers = call(&book, &marks, CALLERS, Duration::ZERO);
    eventually("enough is acknowledged", || async { (book.acknowledged().len() >= enough).then_some(()) })
        .await;
    book.over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let pid = u32::try_from(record["pid"].as_u64().unwrap()).unwrap();
    processes::signal(pid, Signal::SIGTERM);
    tokio::time::timeout(PATIENCE, strace.wait()).await.expect("the host does not end").unwrap();
    project.expect_no_processes().await;
    (read(&String::from_utf8_lossy(&std::fs::read(trace).unwrap()), &state), book)
}

/// Starts a host on what is left, and holds it to what was promised.
async fn lose_power(happened: &[Happened], before: &Book, moment: usize, some_survive: bool) {
    let project = Project::with_test_agent(&[]).await;
    let state = project.path().join(".agentcore");
    let survives = || some_survive && fastrand_millis(2) == 0;
    for (path, content) in left_after(happened, moment, survives) {
        let below = path.iter().skip_while(|part| *part != ".agentcore").skip(1).collect::<PathBuf>();
        if is_durable(&below) {
            let file = state.join(below);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
    }
    let host = project.serve(&["--on-shutdown", "stop"]).await;
    let book = Book::at(&host.url);
    let promises = Promises::of(&happened[..moment]);
    book.look_up(promises.accepted.clone()).await;
    book.until_all_are_over().await;
    promises.expect(&host.url, before).await;
    for (id, record) in book.look_up(promises.accepted).await {
        // An agent that begins with the next host lacks what it had in the project before.
        if record["state"] == "completed" {
            let answer =
                crate::support::http::get(&format!("{}/_agentcore/v1/invocations/{id}/answer", host.url))
                    .await;
            assert_eq!(answer.body.len() as u64, record["answer"]["bytes"].as_u64().unwrap(), "{id} is cut");
            let is_stream = record["answer"]["content_type"] == "text/event-stream";
            assert!(
                is_stream || answer.json()["payload"].is_object(),
                "{id} is garbled: {record} {:.300}",
                answer.body
            );
        }
    }
    host.end(Signal::SIGTERM).await;
    project.expect_no_processes().await;
}

/// What the host relies on after its end; the rest is for those who look at a running one.
fn is_durable(below: &Path) -> bool {
    let is_index = below.to_string_lossy().ends_with("-shm");
    (below.starts_with("agentcore.db")
        || below.to_string_lossy().starts_with("agentcore.db-")
        || below.starts_with("invocations"))
        && !is_index
}
