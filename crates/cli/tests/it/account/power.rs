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

use super::trace::{CALLS, Happened, left_after, read};
use super::{Book, fastrand_millis};
use crate::support::{PATIENCE, Project, agentcore, eventually, processes};

/// How many callers ask.
const CALLERS: usize = 6;
/// How many acknowledgements there are to be.
const ENOUGH: usize = 150;

#[tokio::test]
#[ignore = "a host starts on what is left at forty moments"]
async fn a_power_failure_at_any_moment_loses_nothing_that_was_acknowledged() {
    if Command::new("strace").arg("--version").output().await.is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "strace is not installed, and must be in CI");
        println!("skipped: strace is not installed");
        return;
    }
    let project = Project::with_test_agent(&[]).await;
    let happened = run_under_strace(&project).await;
    let said = happened.iter().filter(|one| acknowledged_by(one).is_some()).count();
    assert!(said >= ENOUGH, "only {said} acknowledgements are in the trace");
    let mut kept = 0;
    for round in 0..40 {
        let moment = usize::try_from(fastrand_millis(happened.len() as u64)).unwrap();
        kept += lose_power(&happened, moment, round % 2 == 1).await;
    }
    println!("{said} acknowledgements; 40 power failures, before which {kept} had been given");
}

/// Has callers ask a host, and returns all it did.
async fn run_under_strace(project: &Project) -> Vec<Happened> {
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
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (book, marks): (Arc<Book>, PathBuf) = (book.clone(), marks.clone());
            tokio::spawn(async move { book.keep_asking(&marks, caller, Duration::ZERO).await })
        })
        .collect();
    eventually("enough is acknowledged", || async { (book.acknowledged().len() >= ENOUGH).then_some(()) })
        .await;
    book.over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let pid = u32::try_from(record["pid"].as_u64().unwrap()).unwrap();
    processes::signal(pid, Signal::SIGTERM);
    tokio::time::timeout(PATIENCE, strace.wait()).await.expect("the host does not end").unwrap();
    project.expect_no_processes().await;
    read(&String::from_utf8_lossy(&std::fs::read(trace).unwrap()), &state)
}

/// The invocation that a caller is told has been acknowledged.
fn acknowledged_by(one: &Happened) -> Option<String> {
    let Happened::Said { bytes } = one else { return None };
    let text = String::from_utf8_lossy(bytes);
    let location = text.strip_prefix("HTTP/1.1 202")?.split("/_agentcore/v1/invocations/").nth(1)?;
    Some(location[..36].to_owned())
}

/// Starts a host on what is left. How many acknowledged invocations it has found.
async fn lose_power(happened: &[Happened], moment: usize, some_survive: bool) -> usize {
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
    let acknowledged: Vec<_> = happened[..moment].iter().filter_map(acknowledged_by).collect();
    book.look_up(acknowledged.clone()).await;
    book.until_all_are_over().await;
    for (id, record) in book.look_up(acknowledged.clone()).await {
        // An agent that begins with the next host lacks what it had in the project before.
        if record["state"] == "completed" {
            let answer =
                crate::support::http::get(&format!("{}/_agentcore/v1/invocations/{id}/answer", host.url))
                    .await;
            assert_eq!(answer.body.len() as u64, record["answer"]["bytes"].as_u64().unwrap(), "{id} is cut");
            assert!(
                answer.json()["payload"]["token"].is_string(),
                "{id} is garbled: {record} {:.300}",
                answer.body
            );
        }
    }
    host.end(Signal::SIGTERM).await;
    project.expect_no_processes().await;
    acknowledged.len()
}

/// What the host relies on after its end; the rest is for those who look at a running one.
fn is_durable(below: &Path) -> bool {
    let is_index = below.to_string_lossy().ends_with("-shm");
    (below.starts_with("agentcore.db")
        || below.to_string_lossy().starts_with("agentcore.db-")
        || below.starts_with("invocations"))
        && !is_index
}
