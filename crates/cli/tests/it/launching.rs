//! Launch, invoke, look, stop.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{PATIENCE, Project, agent, eventually, http, processes, session_id};

#[tokio::test]
async fn a_session_keeps_its_memory_and_no_two_share_one() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    let (one, two) = (session_id("one"), session_id("two"));

    let first = project.invoke(&one, r#"{"n": 1}"#).await;
    assert_eq!((&first["count"], &first["payload"]), (&json!(1), &json!({"n": 1})));
    assert_eq!(project.invoke(&one, "text").await["payload"], json!({"prompt": "text"}));
    let other = project.invoke(&two, "{}").await;
    assert_eq!(other["count"], 1);
    let third = project.invoke(&one, "{}").await;
    assert_eq!((&third["count"], &third["pid"]), (&json!(3), &first["pid"]));

    host.interrupt().await;
    project.expect_no_processes().await;
}

#[tokio::test]
async fn the_answer_alone_is_on_standard_output_and_the_session_is_remembered() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    let first = project.run(&["invoke", "{}", "-l"]).await;
    assert!(first.success(), "{first:?}");
    let session = first.stderr.lines().find_map(|line| line.strip_prefix("Session: ")).unwrap().to_owned();
    serde_json::from_str::<serde_json::Value>(&first.stdout).expect("only the answer");

    let status = project.json(&["status", "-v"]).await;
    assert_eq!(status["agent"]["session_id"], session);
    assert_eq!(project.json(&["invoke", "{}", "-l"]).await["count"], 2);
    // curl without a session reaches the same one.
    let curl = http::post(&format!("{}/invocations", host.url), None, "{}").await;
    assert_eq!(curl.json()["count"], 3);

    let another = project.run(&["invoke", "{}", "-l", "--new-session"]).await;
    assert!(!another.stderr.contains(&session), "{another:?}");
    assert_eq!(project.json(&["invoke", "{}", "-l"]).await["count"], 2);
    host.interrupt().await;
}

#[tokio::test]
async fn the_session_is_remembered_while_the_first_call_is_under_way() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    let (cut_short, session) = tokio::join!(project.run(&["invoke", r#"{"hang": true}"#, "-l"]), async {
        let remembered = || async {
            let status = project.json(&["status", "-v"]).await;
            let session = status["agent"]["session_id"].as_str()?.to_owned();
            let shown = project.run(&["sessions", "show", &session]).await;
            (shown.success() && shown.stdout.contains("active")).then_some(session)
        };
        let session = eventually("the session is remembered and runs", remembered).await;
        project.expect(&["stop-session", "-s", &session]).await;
        session
    });
    assert!(!cut_short.success() && cut_short.stderr.contains(&session), "{cut_short:?}");
    host.interrupt().await;
}

#[tokio::test]
async fn a_stopped_session_tells_why_and_begins_anew() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    let session = session_id("stopped");
    project.invoke(&session, "{}").await;
    project.expect(&["stop-session"]).await;
    let shown = project.ended(&session).await;
    assert_eq!(shown["reason"]["kind"], "StopRequested");
    assert!(shown["timeline"].as_array().is_some_and(|events| events.len() >= 3), "{shown}");
    let page = project.expect(&["sessions", "show", &session]).await;
    assert!(page.contains("StopRequested") && page.contains("Timeline"), "{page}");

    let status = project.json(&["status", "-v"]).await;
    assert_eq!(status["agent"]["session_id"], json!(null), "a stopped session is forgotten");
    let answer = http::post(&format!("{}/invocations", host.url), Some(&session), "{}").await;
    assert_eq!(answer.json()["count"], 1, "its memory is gone");
    assert_eq!(answer.headers["agentcore-session-new"], "true");
    project.expect(&["stop-session", "-s", &session]).await;
    let again = project.run(&["invoke", "{}", "-s", &session]).await;
    assert!(again.stderr.contains("began with this call"), "{again:?}");
    host.interrupt().await;
}

#[tokio::test]
async fn a_busy_session_outlives_its_idle_timeout_and_an_idle_one_does_not() {
    let project = Project::with_test_agent(&["--idle-timeout", "1"]).await;
    let host = project.launch(&[]).await;
    let (busy, idle) = (session_id("busy"), session_id("idle"));
    project.invoke(&busy, &project.work()).await;
    project.invoke(&idle, "{}").await;

    let ended = project.ended(&idle).await;
    assert_eq!(ended["reason"]["kind"], "IdleTimeout");
    assert_eq!(project.session(&busy).await["state"], "active", "it works, and so it lives");
    let list = project.expect(&["sessions", "list", "--state", "all"]).await;
    assert!(list.contains("IdleTimeout") && list.contains("active"), "{list}");

    project.work_is_done();
    let last = project.ended(&busy).await;
    assert_eq!(last["reason"]["kind"], "IdleTimeout");
    assert!(last["started_at"].as_u64() < ended["started_at"].as_u64(), "the busy one was first: {last}");
    assert!(last["ended_at"].as_u64() > ended["ended_at"].as_u64(), "and outlived the idle one: {last}");
    host.interrupt().await;
}

#[tokio::test]
async fn the_maximum_life_ends_a_session_at_work() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&["--max-lifetime", "5"]).await;
    let session = session_id("old");
    project.invoke(&session, &project.work()).await;
    assert_eq!(project.ended(&session).await["reason"]["kind"], "MaxLifetime");
    host.interrupt().await;
}

#[tokio::test]
async fn the_log_of_a_session_is_shown_and_followed() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    let session = session_id("talkative");
    project.invoke(&session, r#"{"say": "one"}"#).await;
    project.invoke(&session, r#"{"say": "two"}"#).await;
    let last = eventually("the log has both", || async {
        let log = project.expect(&["logs", "-n", "1"]).await;
        log.contains("two").then_some(log)
    })
    .await;
    assert!(!last.contains("one"), "only the last line: {last}");

    // Follows until the session ends.
    let follow = ["logs", "-f", "-s", &session];
    let (followed, _) = tokio::join!(project.run(&follow), async {
        project.invoke(&session, r#"{"say": "three"}"#).await;
        project.expect(&["stop-session", "-s", &session]).await;
    });
    assert!(followed.success() && followed.stdout.contains("three"), "{followed:?}");
    host.interrupt().await;
}

#[tokio::test]
async fn a_second_host_of_a_project_is_refused() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    let second = project.run(&["launch", "-l", "--port", "0"]).await;
    assert!(!second.success() && second.stderr.contains(&host.url), "{second:?}");
    let doctor = project.expect(&["doctor"]).await;
    assert!(doctor.contains("host: runs at"), "{doctor}");
    host.interrupt().await;
}

#[tokio::test]
async fn destroying_an_agent_stops_its_sessions() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    project.invoke(&session_id("doomed"), &project.work()).await;
    let plan = project.expect(&["destroy", "--dry-run"]).await;
    assert!(plan.contains("session doomed-"), "{plan}");
    project.expect(&["destroy", "--force"]).await;
    assert!(project.processes().is_empty(), "it waits until they have ended: {:?}", project.processes());
    host.interrupt().await;
}

#[tokio::test]
async fn several_agents_are_reached_by_name() {
    let project = Project::with_test_agent(&[]).await;
    project.executable("other.sh", &agent::script());
    project.configure("other.sh", &[]).await;
    project.expect(&["configure", "set-default", "agent_sh"]).await;
    let host = project.launch(&[]).await;
    project.expect(&["invoke", "{}", "-l", "-a", "other_sh"]).await;
    let agents = project.json(&["sessions", "list", "--json"]).await;
    assert_eq!((agents.as_array().unwrap().len(), &agents[0]["agent"]), (1, &json!("other_sh")));
    host.interrupt().await;
}

#[tokio::test]
async fn a_second_interrupt_leaves_at_once_and_the_next_launch_finds_the_sessions() {
    let project = Project::new();
    let answer = agent::raw_script("HTTP/1.1 200 OK\\ncontent-length: 2\\n\\n{}");
    project.executable("stubborn.sh", &answer.replace("#!/bin/sh\n", "#!/bin/sh\ntrap '' TERM\n"));
    project.configure("stubborn.sh", &[]).await;
    let host = project.launch(&[]).await;
    let session = session_id("stubborn");
    project.invoke(&session, "{}").await;
    processes::signal(host.pid(), Signal::SIGINT);
    eventually("the host stops its sessions", || async {
        project.host_log().contains("Stopping the sessions").then_some(())
    })
    .await;
    assert_eq!(host.ended_by(Signal::SIGINT).await.code(), Some(130));
    assert!(!project.processes().is_empty());

    // Whether its stop had begun by then or not, the next host knows of it.
    let host = project.launch(&[]).await;
    let shown = project.session(&session).await;
    assert!(["idle", "stopping", "stopped"].contains(&shown["state"].as_str().unwrap()), "{shown}");
    host.kill().await;
    project.processes().iter().for_each(processes::Sandboxed::kill);
    project.expect_no_processes().await;
}

/// A server by hand, so that nothing has to be downloaded.
const CARGO_AGENT: &str = r###"
use std::io::{Read, Write};
fn main() {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    for mut connection in listener.incoming().flatten() {
        let _ = connection.read(&mut [0; 4096]);
        let body = r##"{"status":"Healthy"}"##;
        let _ = write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    }
}
"###;

#[tokio::test]
async fn a_cargo_project_is_built_and_served() {
    let project = Project::new();
    std::fs::create_dir_all(project.path().join("writer/src")).unwrap();
    project.file("writer/Cargo.toml", "[package]\nname = \"writer\"\nedition = \"2024\"\n[workspace]\n");
    project.file("writer/src/main.rs", CARGO_AGENT);
    project.configure("writer", &[]).await;
    let host = project.launch(&[]).await;
    assert_eq!(project.json(&["invoke", "{}", "-l"]).await, json!({"status": "Healthy"}));
    host.interrupt().await;

    project.file("writer/src/main.rs", "fn main() { broken }");
    let broken = project.run(&["launch", "-l", "--port", "0"]).await;
    assert!(!broken.success() && broken.stderr.contains("cargo build failed"), "{broken:?}");
}

/// Says that it runs, and goes on for as long as the project is there.
const SLOW_BUILD: &str = r#"
fn main() {
    let folder = std::path::PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    std::fs::write(folder.join("builds"), "").unwrap();
    while folder.join("build.rs").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
"#;

#[tokio::test]
async fn a_launch_that_still_builds_ends_when_it_is_interrupted() {
    let project = Project::new();
    std::fs::create_dir_all(project.path().join("slow/src")).unwrap();
    project.file("slow/Cargo.toml", "[package]\nname = \"slow\"\nedition = \"2024\"\n[workspace]\n");
    project.file("slow/build.rs", SLOW_BUILD);
    project.file("slow/src/main.rs", "fn main() {}");
    project.configure("slow", &[]).await;
    let mut launch = project.start(&["launch", "-l", "--port", "0"]);
    eventually("it builds", || async { project.path().join("slow/builds").exists().then_some(()) }).await;
    processes::signal(launch.id().unwrap(), Signal::SIGINT);
    let ended = tokio::time::timeout(PATIENCE, launch.wait()).await.expect("it goes on building").unwrap();
    assert_eq!(ended.signal(), Some(Signal::SIGINT as i32), "{ended}");
    // In a terminal the build ends by the same signal.
    std::fs::remove_file(project.path().join("slow/build.rs")).unwrap();
    assert!(!project.path().join(".agentcore").exists(), "nothing was begun");
}
