//! The document agent's real binary, driven over HTTP.

#![allow(clippy::unwrap_used, reason = "in a test a panic is a failure that says where")]

#[path = "../../../support/agent_process.rs"]
mod agent_process;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use agent_process::AgentProcess;
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

/// An agent whose index lives in `index`, on a machine whose crate sources are below `cargo_home`.
async fn start(index: &Path, cargo_home: &Path) -> AgentProcess {
    let environment: [(&str, &OsStr); 2] =
        [("AGENT_INDEX_DIR", index.as_ref()), ("CARGO_HOME", cargo_home.as_ref())];
    AgentProcess::start(env!("CARGO_BIN_EXE_document-agent"), &environment).await
}

struct Setup {
    agent: AgentProcess,
    documents: TempDir,
    index: TempDir,
    cargo_home: TempDir,
}

/// An agent, and documents for it: `count` small files, and one with a word of its own.
async fn setup(count: usize) -> Setup {
    let (documents, index, cargo_home) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for n in 0..count {
        fs::write(documents.path().join(format!("{n:05}.txt")), format!("common words, number{n}\n"))
            .unwrap();
    }
    fs::write(documents.path().join("z.md"), "# Birds\n\nThe albatross sleeps on the wing.\n").unwrap();
    let agent = start(index.path(), cargo_home.path()).await;
    Setup { agent, documents, index, cargo_home }
}

/// As many files as no machine indexes before the next request arrives.
const MANY: usize = 2000;

#[tokio::test]
async fn a_folder_is_indexed_in_the_background_and_searched() {
    let Setup { agent, documents, index, cargo_home } = setup(MANY).await;
    assert_eq!(agent.ping().await, "Healthy");
    let answer = agent.invoke(json!({"action": "index", "path": documents.path()})).await;
    assert_eq!(answer["status"], "started");
    assert_eq!(agent.ping().await, "HealthyBusy");
    let again = agent.invoke(json!({"action": "index", "path": documents.path()})).await;
    assert_eq!((&again["status"], &again["task_id"]), (&json!("already running"), &answer["task_id"]));

    agent.until_ping_says("Healthy").await;
    let record = agent.invoke(json!({"action": "progress", "task_id": answer["task_id"]})).await;
    assert_eq!((&record["status"], &record["result"]["files"]), (&json!("completed"), &json!(MANY + 1)));
    assert_eq!(record["progress"]["files_done"], record["progress"]["files_total"]);
    finds_the_albatross(&agent, documents.path()).await;

    // The index is still there when the agent is started again.
    agent.stop().await;
    let agent = start(index.path(), cargo_home.path()).await;
    finds_the_albatross(&agent, documents.path()).await;
    assert_eq!(agent.invoke(json!({"action": "status"})).await["status"], "idle");
}

async fn finds_the_albatross(agent: &AgentProcess, documents: &Path) {
    let found = agent.invoke(json!({"action": "search", "query": "albatross", "limit": 3})).await;
    assert_eq!((&found["matches"], &found["index"]["complete"]), (&json!(1), &json!(true)));
    let hit = &found["hits"][0];
    assert_eq!(hit["path"], json!(documents.join("z.md")));
    assert_eq!(hit["line"], 3);
    assert_eq!(hit["snippet"], "The albatross sleeps on the wing.");
}

#[tokio::test]
async fn a_cancelled_task_leaves_an_index_that_says_it_is_not_complete() {
    let Setup { agent, documents, index: _index, cargo_home: _cargo_home } = setup(MANY).await;
    let task_id = agent.invoke(json!({"action": "index", "path": documents.path()})).await["task_id"].take();
    let found = agent.invoke(json!({"action": "search", "query": "albatross"})).await;
    assert_eq!(found["index"]["complete"], false);

    let other = tempfile::tempdir().unwrap();
    let (status, refused) = agent.try_invoke(json!({"action": "index", "path": other.path()})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    assert!(error_of(&refused).contains(&format!("\"task_id\": {task_id}}}")), "{refused}");

    let answer = agent.invoke(json!({"action": "cancel", "task_id": task_id})).await;
    assert_eq!(answer, json!({"status": "cancelling", "task_id": task_id}));
    agent.until_ping_says("Healthy").await;
    let tasks = agent.invoke(json!({"action": "progress"})).await;
    assert_eq!((&tasks["running"], &tasks["finished"][0]["status"]), (&json!([]), &json!("cancelled")));
    let status = agent.invoke(json!({"action": "status"})).await;
    assert_eq!(status["index"]["complete"], false);
    let (status, refused) = agent.try_invoke(json!({"action": "cancel", "task_id": task_id})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(error_of(&refused).contains("has ended already (cancelled)"), "{refused}");
}

#[tokio::test]
async fn the_seeds_curl_lines_index_the_crate_sources_and_other_prompts_search_them() {
    let Setup { agent, cargo_home, index: _index, documents: _documents } = setup(0).await;
    let (status, refused) = agent.try_invoke(json!({"prompt": "start a background task"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(error_of(&refused).contains("no crate sources"), "{refused}");

    let sources = cargo_home.path().join("registry/src/some-index/some-crate-1.0.0/src");
    fs::create_dir_all(&sources).unwrap();
    fs::write(sources.join("lib.rs"), "//! A pelican.\n").unwrap();
    let answer = agent.invoke(json!({"prompt": "start a background task"})).await;
    assert_eq!(answer["folder"], json!(cargo_home.path().join("registry/src")));
    agent.until_ping_says("Healthy").await;
    let found = agent.invoke(json!({"prompt": "where is the pelican?"})).await;
    assert_eq!(found["hits"][0]["path"], json!(sources.join("lib.rs")));
}

#[tokio::test]
async fn bad_input_is_answered_with_what_to_do() {
    let Setup { agent, documents, index: _index, cargo_home: _cargo_home } = setup(0).await;
    let file = documents.path().join("z.md");
    let cases = [
        (json!({"action": "fly"}), StatusCode::BAD_REQUEST, "unknown variant `fly`, expected one of `index`"),
        (json!({"action": "search"}), StatusCode::BAD_REQUEST, "missing field `query`"),
        (json!({"action": "search", "query": 1}), StatusCode::BAD_REQUEST, "invalid type"),
        (json!({}), StatusCode::BAD_REQUEST, "neither `action` nor `prompt`"),
        (json!("text"), StatusCode::BAD_REQUEST, "no JSON object"),
        (json!({"action": "index", "path": "/no/such/folder"}), StatusCode::NOT_FOUND, "that exists"),
        (json!({"action": "index", "path": file}), StatusCode::BAD_REQUEST, "is a file: pass the folder"),
        (json!({"action": "search", "query": "x"}), StatusCode::NOT_FOUND, "nothing is indexed yet"),
        (json!({"action": "progress", "task_id": 1}), StatusCode::NOT_FOUND, "there is no task 1"),
        (json!({"action": "cancel", "task_id": 1}), StatusCode::NOT_FOUND, "there is no task 1"),
    ];
    for (payload, status, text) in cases {
        let answer = agent.try_invoke(payload.clone()).await;
        assert_eq!(answer.0, status, "{payload}");
        assert!(error_of(&answer.1).contains(text), "{payload}: {}", answer.1);
    }
    agent.invoke(json!({"action": "index", "path": documents.path()})).await;
    let brackets = json!({"action": "search", "query": "(".repeat(100_000)});
    let (status, answer) = agent.try_invoke(brackets).await;
    assert_eq!(
        (status, error_of(&answer).contains("nothing to search for")),
        (StatusCode::BAD_REQUEST, true)
    );
}

fn error_of(answer: &Value) -> &str {
    answer["error"].as_str().unwrap()
}
