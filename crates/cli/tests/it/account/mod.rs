//! Accounts for everything that was acknowledged, whatever happens to hosts and agents: each invocation
//! is on record, comes to an end, and was run by one agent at most; and so with the items of streams,
//! with what was cancelled, and with tasks.

mod cancels;
mod kills;
mod power;
mod promises;
mod streams;
mod tasks;
mod trace;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::http::{get, try_post_async};
use crate::support::{agent, eventually, session_id};

/// What callers were promised, and where they ask.
#[derive(Default)]
struct Book {
    url: Mutex<String>,
    /// The token of each acknowledged invocation, by its id.
    acknowledged: Mutex<BTreeMap<String, String>>,
    /// The session, the payload and the id of what came with a key.
    keys: Mutex<BTreeMap<String, (String, String, String)>>,
    /// The items of each stream that its reader has seen.
    streams: Mutex<BTreeMap<String, Vec<String>>>,
    /// The stream of each token.
    tokens: Mutex<BTreeMap<String, String>>,
    /// What was said to those who cancelled, if anything was.
    cancels: Mutex<BTreeMap<String, Option<StatusCode>>>,
    /// The token of each task, by its path.
    tasks: Mutex<BTreeMap<String, String>>,
    asked: AtomicUsize,
    over: AtomicBool,
}

impl Book {
    fn at(url: &str) -> Arc<Self> {
        let book = Self::default();
        *book.url.lock().unwrap() = url.to_owned();
        Arc::new(book)
    }

    fn url(&self) -> String {
        self.url.lock().unwrap().clone()
    }

    fn moved(&self, url: &str) {
        *self.url.lock().unwrap() = url.to_owned();
    }

    fn acknowledged(&self) -> BTreeMap<String, String> {
        self.acknowledged.lock().unwrap().clone()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until so many more have been acknowledged, however slow the machine is.
    async fn until_more_are_acknowledged(&self, more: usize) {
        let enough = self.acknowledged().len() + more;
        eventually("more is acknowledged", || async { (self.acknowledged().len() >= enough).then_some(()) })
            .await;
    }

    /// Asks for one invocation after the other until it is over.
    async fn keep_asking(&self, marks: &Path, caller: usize, pause: Duration) {
        while !self.is_over() {
            let token = Uuid::new_v4().to_string();
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            // Some are too large for the database, and so are the answers to them.
            let pad = if asked.is_multiple_of(7) { "x".repeat(100_000) } else { String::new() };
            let sleep = fastrand_millis(20);
            let payload =
                json!({ "mark": marks.join(&token), "sleep_ms": sleep, "token": token, "pad": pad })
                    .to_string();
            let url = format!("{}/invocations", self.url());
            let session = session_id(&format!("account{}", caller % 4));
            let key = asked.is_multiple_of(3).then_some(&*token);
            let ask = || try_post_async(&url, &session, key, &payload);
            // Some leave before they are told anything, some of them to come again with their key.
            let leaves = asked.is_multiple_of(4);
            if leaves {
                let _ = tokio::time::timeout(Duration::from_millis(fastrand_millis(5)), ask()).await;
            }
            let told = if leaves && key.is_none() { None } else { ask().await };
            if let (Some(id), Some(_)) = (&told, key) {
                let again = ask().await;
                assert!(again.is_none_or(|again| again == *id), "one key, two invocations");
            }
            if let (Some(id), Some(key)) = (&told, key) {
                let known = (session.clone(), payload.clone(), id.clone());
                self.keys.lock().unwrap().insert(key.to_owned(), known);
            }
            if let Some(id) = told {
                self.acknowledged.lock().unwrap().insert(id, token);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until nothing runs any more.
    async fn until_all_are_over(&self) {
        eventually("every invocation has ended", || async {
            let mut open = 0;
            for state in ["accepted", "running"] {
                let list =
                    get(&format!("{}/_agentcore/v1/invocations?state={state}", self.url())).await.json();
                open += list["invocations"].as_array()?.len();
            }
            (open == 0).then_some(())
        })
        .await;
    }

    /// What is on record of everything that was acknowledged by now: nothing has vanished.
    async fn look_up(&self, ids: impl IntoIterator<Item = String>) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        for id in ids {
            let answer = get(&format!("{}/_agentcore/v1/invocations/{id}", self.url())).await;
            assert_eq!(answer.status, StatusCode::OK, "{id} was acknowledged and has vanished: {answer:?}");
            found.insert(id, answer.json());
        }
        found
    }

    /// Holds every record against what the agents did. How often each state occurs.
    async fn settle(&self, marks: &Path) -> BTreeMap<String, usize> {
        let acknowledged = self.acknowledged();
        let mut states = BTreeMap::new();
        for (id, record) in self.look_up(acknowledged.keys().cloned()).await {
            let (state, token) = (record["state"].as_str().unwrap().to_owned(), &acknowledged[&id]);
            let runs = std::fs::read_to_string(marks.join(token)).map_or(0, |marks| marks.lines().count());
            assert!(runs <= 1, "{id} was run {runs} times");
            match &*state {
                "completed" => {
                    assert_eq!(runs, 1, "{id} is completed and was not run");
                    let answer = get(&format!("{}/_agentcore/v1/invocations/{id}/answer", self.url())).await;
                    assert_eq!(answer.json()["payload"]["token"], *token.as_str(), "another's answer");
                    assert_eq!(answer.body.len() as u64, record["answer"]["bytes"].as_u64().unwrap());
                }
                "interrupted" | "failed" => assert!(record["reason"].is_string(), "{record}"),
                other => panic!("{id} is {other}"),
            }
            *states.entry(state).or_default() += 1;
        }
        states
    }
}

fn fastrand_millis(most: u64) -> u64 {
    u64::try_from(Uuid::new_v4().as_u128() % u128::from(most)).unwrap_or_default()
}

/// Makes the folder in which agents leave a mark for each run. Behind their walls they cannot write
/// there themselves: they tell it to a socket in the folder, and go on once it is on record.
fn keep_marks(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let listener = UnixListener::bind(folder.join(agent::MARKS)).unwrap();
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for mut agent in listener.incoming().filter_map(Result::ok) {
            let mut token = String::new();
            // An agent that was killed meanwhile has left no mark.
            if agent.read_to_string(&mut token).is_ok() && !token.is_empty() {
                let mut file = File::options().append(true).create(true).open(folder.join(token)).unwrap();
                file.write_all(b"run\n").unwrap();
                let _ = agent.write_all(b".");
            }
        }
    });
}
