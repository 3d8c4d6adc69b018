//! Hosts and agents that are killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{Book, fastrand_millis};
use crate::support::Project;

const CALLERS: usize = 8;
/// How many read streams, and have tasks begun.
const OTHERS: usize = 2;
/// On a slow machine more are asked for than a host keeps of one agent.
const KEEP_ALL: &[&str] = &["--keep-invocations", "1000000", "--keep-tasks", "1000000"];

#[tokio::test]
async fn a_few_killed_hosts_lose_nothing_that_was_acknowledged() {
    kill_under_load(3, Duration::from_millis(30)).await;
}

#[tokio::test]
#[ignore = "two hundred hosts are killed"]
async fn hosts_and_agents_killed_at_any_moment_lose_nothing_that_was_acknowledged() {
    kill_under_load(200, Duration::from_millis(60)).await;
}

async fn kill_under_load(rounds: usize, pause: Duration) {
    let project = Project::with_test_agent(&[]).await;
    let marks = project.path().join("marks");
    super::keep_marks(&marks);
    let mut host = project.serve(KEEP_ALL).await;
    let book = Book::at(&host.url);
    let callers = call(&book, &marks, (CALLERS, OTHERS), pause);
    let mut ended = BTreeMap::new();
    for round in 0..rounds {
        book.until_more_are_acknowledged(3).await;
        tokio::time::sleep(Duration::from_millis(fastrand_millis(250))).await;
        if round % 3 == 2 {
            kill_an_agent(&project);
            tokio::time::sleep(Duration::from_millis(fastrand_millis(50))).await;
        }
        host.kill().await;
        host = project.serve(KEEP_ALL).await;
        book.moved(&host.url);
        look_again(&book, &mut ended).await;
    }
    book.until_more_are_acknowledged(3).await;
    book.over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    book.until_all_are_over().await;
    let states = book.settle(&marks).await;
    let (items, cancelled, tasks) =
        (book.settle_streams().await, book.settle_cancels().await, book.settle_tasks().await);
    println!("{rounds} hosts killed; of {} asked for: {states:?}", book.asked.load(Ordering::Relaxed));
    println!("{items} items of streams, {cancelled} cancelled, tasks: {tasks:?}");
    assert!(states.contains_key("completed"), "{states:?}");
    stop_all(&project, host).await;
}

/// So many callers ask, and so many each read streams and have tasks begun; one cancels.
pub(super) fn call(
    book: &Arc<Book>,
    marks: &Path,
    (callers, others): (usize, usize),
    pause: Duration,
) -> Vec<JoinHandle<()>> {
    let own = || (book.clone(), marks.to_owned());
    let (canceller, _) = own();
    let mut all = vec![tokio::spawn(async move { canceller.keep_cancelling(pause).await })];
    for caller in 0..callers {
        let (book, marks) = own();
        all.push(tokio::spawn(async move { book.keep_asking(&marks, caller, pause).await }));
    }
    for number in 0..others {
        let ((reader, _), (worker, _)) = (own(), own());
        all.push(tokio::spawn(async move { reader.keep_streaming(number, pause).await }));
        all.push(tokio::spawn(async move { worker.keep_working(number, pause).await }));
    }
    all
}

fn kill_an_agent(project: &Project) {
    let agents: Vec<_> = project.processes().into_iter().filter(|one| one.is_test_agent()).collect();
    if let Some(agent) = agents.get(fastrand_millis(agents.len().max(1) as u64) as usize) {
        agent.kill();
    }
}

/// An end is for good: what has ended once is the same to every later host.
async fn look_again(book: &Book, ended: &mut BTreeMap<String, Value>) {
    let newest: Vec<String> = book.acknowledged().into_keys().rev().take(20).collect();
    for (id, record) in book.look_up(newest).await {
        if !["accepted", "running"].contains(&record["state"].as_str().unwrap()) {
            ended.insert(id, record);
        }
    }
    let some: Vec<String> = ended.keys().rev().step_by(5).take(20).cloned().collect();
    for (id, record) in book.look_up(some).await {
        assert_eq!(ended[&id], record, "{id} has ended twice");
    }
}

/// Stops what runs, with its host.
pub(super) async fn stop_all(project: &Project, host: crate::support::Host) {
    host.end(Signal::SIGTERM).await;
    project.serve(&["--on-shutdown", "stop"]).await.end(Signal::SIGTERM).await;
    project.expect_no_processes().await;
}
