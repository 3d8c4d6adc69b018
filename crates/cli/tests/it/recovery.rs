//! Hosts that are killed, and the sessions that outlive them.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use serde_json::Value;
use uuid::Uuid;

use crate::support::{Project, eventually, session_id};

const SESSIONS: usize = 20;

fn sessions(prefix: &str) -> Vec<String> {
    (0..SESSIONS).map(|number| session_id(&format!("{prefix}{number}"))).collect()
}

/// Invokes every session at once, whatever comes of it.
async fn invoke_all(project: &Project, sessions: &[String], payload: &str) -> Vec<Option<Value>> {
    let invoke = |session: &str| {
        let arguments = ["invoke", payload, "-l", "-s", session].map(str::to_owned);
        async move {
            let done = project.run(&arguments.each_ref().map(String::as_str)).await;
            serde_json::from_str(&done.stdout).ok().filter(|_| done.success())
        }
    };
    futures_util::future::join_all(sessions.iter().map(|session| invoke(session))).await
}

/// Every session that runs has one agent, and no agent is without a session.
async fn expect_one_agent_per_session(project: &Project) {
    eventually("each running session has one agent", || async {
        let running =
            project.json(&["sessions", "list", "--state", "running", "--limit", "100", "--json"]).await;
        let running = running.as_array().unwrap().clone();
        let ids: BTreeSet<_> = running.iter().map(|session| session["session_id"].to_string()).collect();
        let agents = project.processes().iter().filter(|process| process.is_test_agent()).count();
        (ids.len() == running.len() && agents == running.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sessions_at_work_outlive_a_killed_host_with_their_memory() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    let sessions = sessions("s");
    let before = invoke_all(&project, &sessions, &project.work()).await;
    assert!(before.iter().all(Option::is_some), "{before:?}");

    host.kill().await;
    let agents = project.processes().iter().filter(|process| process.is_test_agent()).count();
    assert_eq!(agents, SESSIONS, "no agent dies with the host");
    let host = project.launch(&[]).await;

    expect_one_agent_per_session(&project).await;
    let after = invoke_all(&project, &sessions, "{}").await;
    for (before, after) in before.iter().flatten().zip(&after) {
        let after = after.as_ref().expect("the session answers again");
        assert_eq!((&after["pid"], &after["count"]), (&before["pid"], &2.into()), "memory intact");
    }
    let shown = project.session(&sessions[0]).await;
    assert_eq!(shown["state"], "active", "{shown}");
    host.interrupt().await;
    project.expect_no_processes().await;
}

#[tokio::test]
async fn a_host_killed_while_sessions_start_leaves_none_orphaned_and_none_twice() {
    // An init and its agent are two processes: after some, or in between, or at the first.
    kill_hosts_while_sessions_start([0, 3, 6]).await;
}

#[tokio::test]
#[ignore = "thirty hosts are killed"]
async fn hosts_killed_at_any_moment_leave_no_session_orphaned_and_none_twice() {
    let any = || usize::try_from(Uuid::new_v4().as_u128() % (2 * SESSIONS as u128)).unwrap_or_default();
    kill_hosts_while_sessions_start(std::iter::repeat_with(any).take(30)).await;
}

/// Kills a host each time so many further processes are there, and looks at what the next one finds.
async fn kill_hosts_while_sessions_start(moments: impl IntoIterator<Item = usize>) {
    let project = Project::with_test_agent(&[]).await;
    let mut host = project.launch(&[]).await;
    for (round, processes) in moments.into_iter().enumerate() {
        let sessions = sessions(&format!("round{round}-"));
        let already = project.processes().len();
        // They hang, so that no session is done with before the host is killed.
        let (answers, ()) = tokio::join!(invoke_all(&project, &sessions, r#"{"hang": true}"#), async {
            let some = already + processes;
            eventually("some sessions start", || async { (project.processes().len() > some).then_some(()) })
                .await;
            host.kill().await;
        });
        assert!(answers.iter().all(Option::is_none), "the host was killed while sessions started");
        host = project.launch(&[]).await;
        expect_one_agent_per_session(&project).await;
        let answers = invoke_all(&project, &sessions, "{}").await;
        assert!(!answers.contains(&None), "after {processes} processes: {answers:?}");
        expect_one_agent_per_session(&project).await;
        for session in &sessions {
            project.run(&["stop-session", "-s", session]).await;
        }
        project.expect_no_processes().await;
    }
    host.interrupt().await;
    project.expect_no_processes().await;
}

#[tokio::test]
async fn a_session_that_ended_without_a_host_is_explained_by_the_next() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    let session = session_id("struck");
    project.invoke(&session, &project.work()).await;
    host.kill().await;
    for process in project.processes().iter().filter(|process| process.is_test_agent()) {
        process.kill();
    }
    project.expect_no_processes().await;
    let host = project.launch(&[]).await;
    let shown = project.ended(&session).await;
    assert!(shown["reason"]["detail"].as_str().is_some_and(|detail| detail.contains("SIGKILL")), "{shown}");
    host.interrupt().await;
}

#[tokio::test]
async fn sessions_of_a_server_outlive_its_sigterm_and_those_of_a_launch_do_not() {
    let project = Project::with_test_agent(&[]).await;
    let session = session_id("kept");
    let host = project.serve(&[]).await;
    let before = project.invoke(&session, &project.work()).await;
    host.end(Signal::SIGTERM).await;
    assert!(project.processes().iter().any(|process| process.is_test_agent()), "left running");

    let host = project.serve(&["--on-shutdown", "stop"]).await;
    let after = project.invoke(&session, "{}").await;
    assert_eq!((&after["pid"], &after["count"]), (&before["pid"], &2.into()), "memory intact");
    host.end(Signal::SIGTERM).await;
    project.expect_no_processes().await;

    let host = project.launch(&[]).await;
    assert_eq!(project.session(&session).await["reason"]["kind"], "HostShutdown");
    host.interrupt().await;
}
