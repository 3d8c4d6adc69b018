//! Launch, invoke, look, stop.

use serde_json::json;

use crate::support::{Project, eventually, http, session_id};

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
    assert_ne!(other["pid"], first["pid"]);
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
    host.interrupt().await;
}

#[tokio::test]
async fn a_busy_session_outlives_its_idle_timeout_and_an_idle_one_does_not() {
    let project = Project::with_test_agent(&["--idle-timeout", "1"]).await;
    let host = project.launch(&[]).await;
    let (busy, idle) = (session_id("busy"), session_id("idle"));
    project.invoke(&busy, r#"{"work": 4}"#).await;
    project.invoke(&idle, "{}").await;

    let ended = project.ended(&idle).await;
    assert_eq!(ended["reason"]["kind"], "IdleTimeout");
    assert_eq!(project.session(&busy).await["state"], "active", "it works, and so it lives");
    let list = project.expect(&["sessions", "list", "--state", "all"]).await;
    assert!(list.contains("IdleTimeout") && list.contains("active"), "{list}");

    let ended = project.ended(&busy).await;
    assert_eq!(ended["reason"]["kind"], "IdleTimeout");
    let lived = ended["ended_at"].as_u64().unwrap() - ended["started_at"].as_u64().unwrap();
    assert!(lived >= 5_000, "four seconds of work and one of idleness, not {lived} ms");
    host.interrupt().await;
}

#[tokio::test]
async fn the_maximum_life_ends_a_session_at_work() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&["--max-lifetime", "2"]).await;
    let session = session_id("old");
    project.invoke(&session, r#"{"work": 60}"#).await;
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
    project.invoke(&session_id("doomed"), r#"{"work": 60}"#).await;
    let plan = project.expect(&["destroy", "--dry-run"]).await;
    assert!(plan.contains("session doomed-"), "{plan}");
    project.expect(&["destroy", "--force"]).await;
    project.expect_no_processes().await;
    host.interrupt().await;
}

#[tokio::test]
async fn several_agents_are_reached_by_name() {
    let project = Project::with_test_agent(&[]).await;
    project.executable("other.sh", &crate::support::agent::script());
    project.configure("other.sh", &[]).await;
    project.expect(&["configure", "set-default", "agent_sh"]).await;
    let host = project.launch(&[]).await;
    project.expect(&["invoke", "{}", "-l", "-a", "other_sh"]).await;
    let agents = project.json(&["sessions", "list", "--json"]).await;
    assert_eq!((agents.as_array().unwrap().len(), &agents[0]["agent"]), (1, &json!("other_sh")));
    host.interrupt().await;
}
