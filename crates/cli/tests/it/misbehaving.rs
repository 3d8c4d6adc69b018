//! Agents that misbehave: the caller gets a clear error, the operator a reason, and no process is
//! left behind.

use serde_json::Value;

use crate::support::{Done, Project, session_id};

/// What came of invoking a bad agent once, and what `sessions show` says in the end.
async fn invoke_bad(agent: &str, options: &[&str]) -> (Done, Value) {
    let project = Project::new();
    project.executable("bad.sh", agent);
    project.configure("bad.sh", &[]).await;
    let host = project.launch(options).await;
    let session = session_id("bad");
    let done = project.run(&["invoke", "{}", "-l", "-s", &session]).await;
    let shown = project.session(&session).await;
    host.interrupt().await;
    project.expect_no_processes().await;
    (done, shown)
}

#[tokio::test]
async fn an_agent_that_exits_at_once_shows_its_last_words() {
    let (done, shown) = invoke_bad("#!/bin/sh\necho 'no key set' >&2\nexit 3\n", &[]).await;
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("code 3") && done.stderr.contains("no key set"), "{done:?}");
    assert!(done.stdout.is_empty());
    assert_eq!(shown["reason"]["kind"], "StartupFailed", "{shown}");
}

#[tokio::test]
async fn a_python_agent_that_cannot_import_shows_the_traceback() {
    let project = Project::new();
    project.file("bad.py", "import surely_not_installed\n");
    project.configure("bad.py", &[]).await;
    let host = project.launch(&[]).await;
    let done = project.run(&["invoke", "{}", "-l"]).await;
    assert!(!done.success() && done.stderr.contains("No module named 'surely_not_installed'"), "{done:?}");
    host.interrupt().await;
}

#[tokio::test]
async fn an_agent_that_ignores_sigterm_is_killed_with_what_it_forked() {
    // The grandchild leaves its session and its parent.
    let project = Project::new();
    let forks = "#!/bin/sh\ntrap '' TERM\n(setsid sleep 600 &)\n";
    let serves = crate::support::agent::script().replace("#!/bin/sh\n", "").replace(" exec ", " ");
    project.executable("bad.sh", &format!("{forks}{serves}sleep 600\n"));
    project.configure("bad.sh", &[]).await;
    let host = project.launch(&["--max-lifetime", "3600"]).await;
    let session = session_id("stubborn");
    let done = project.run(&["invoke", "{}", "-l", "-s", &session]).await;
    // A shell in between is not the process that the socket is meant for: the agent serves PORT.
    assert!(done.success(), "{done:?}\n{}", project.host_log());
    host.interrupt().await;
    project.expect_no_processes().await;
}

#[tokio::test]
async fn an_agent_that_dies_in_mid_answer_is_told_from_one_that_answers() {
    let agent = crate::support::agent::script();
    let project = Project::new();
    project.executable("bad.sh", &agent);
    project.configure("bad.sh", &[]).await;
    let host = project.launch(&[]).await;
    let session = session_id("crash");
    let done = project.run(&["invoke", r#"{"exit": 7}"#, "-l", "-s", &session]).await;
    assert!(!done.success() && done.stderr.contains("error: "), "{done:?}");
    let shown = project.ended(&session).await;
    assert_eq!(shown["reason"]["kind"], "ProcessExited", "{shown}");
    assert!(shown["reason"]["detail"].as_str().is_some_and(|detail| detail.contains('7')), "{shown}");
    // The session goes on with a fresh life.
    assert_eq!(project.invoke(&session, "{}").await["count"], 1);
    host.interrupt().await;
}

#[tokio::test]
async fn an_agent_that_fails_answers_with_its_own_error() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    let done = project.run(&["invoke", r#"{"fail": "out of tokens"}"#, "-l"]).await;
    assert!(!done.success() && done.stderr.contains("out of tokens"), "{done:?}");
    assert!(done.stdout.is_empty(), "{done:?}");
    host.interrupt().await;
}
