//! Hosts that come and go while sessions stay.

use std::sync::Arc;
use std::time::Duration;

use agentcore_runtime::{Host, OnShutdown};
use agentcore_sandbox::{ExitStatus, ScriptedStart};

use crate::support::{TestHost, session_id};

#[tokio::test(start_paused = true)]
async fn the_next_host_goes_on_with_memory_and_clocks_intact() {
    let host = TestHost::start().await;
    let (idle, busy) = (session_id("idle"), session_id("busy"));
    host.invoke(&idle, "{}").await;
    host.invoke(&busy, r#"{"do":"busy"}"#).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let host = host.restart().await;
    assert_eq!(host.kind.running(), 2, "neither gone nor twice");
    let answer = host.invoke(&busy, "{}").await;
    assert_eq!((answer.json()["count"].as_u64(), answer.is_new_session()), (Some(2), false));
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_eq!(host.show(&idle).await["reason"]["kind"], "IdleTimeout");
    assert_eq!(host.state(&busy).await, "active");
    assert!(host.timeline(&busy).await.contains(&"adopted".to_owned()));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_ended_without_a_host_is_explained_by_the_next() {
    let host = TestHost::start().await;
    let (exited, gone) = (session_id("exited"), session_id("gone"));
    for session in [&exited, &gone] {
        host.invoke(session, "{}").await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let TestHost { host: first, kind, folder, options, .. } = host;
    first.serve_until(std::future::ready(())).await.unwrap();
    kind.agents()[0].exit(ExitStatus::Code(7));
    // A kind that knows of neither: as after a reboot.
    let host = TestHost::start_with(|fresh| *fresh = options.clone()).await;
    let shown = host.show(&gone).await;
    assert_eq!(shown["reason"]["kind"], "HostLost", "{shown}");
    host.host.serve_until(std::future::ready(())).await.unwrap();
    drop(folder);
}

#[tokio::test(start_paused = true)]
async fn an_exit_between_two_hosts_keeps_its_code_and_its_last_words() {
    let host = TestHost::start().await;
    let session = session_id("exited");
    host.invoke(&session, "{}").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let agent = host.kind.agents().remove(0);
    let (options, kind, clock) = host.parts();
    let TestHost { host: first, folder, behaviour, .. } = host;
    first.serve_until(std::future::ready(())).await.unwrap();
    std::fs::create_dir_all(&agent.spec().folder).unwrap();
    std::fs::write(agent.spec().folder.join("log"), "Segmentation fault\n").unwrap();
    agent.exit(ExitStatus::Signal(11));
    let next = Host::start(options.clone(), Arc::new(kind.clone()), clock.clone()).await.unwrap();
    let next = TestHost::adopt(next, kind, behaviour, folder, options, clock);
    let reason = next.show(&session).await["reason"].clone();
    assert_eq!(reason["kind"], "ProcessExited");
    assert_eq!(reason["detail"], "ended by signal 11 (SIGSEGV)\nSegmentation fault");
    next.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_when_a_host_ended_is_on_record() {
    let host = TestHost::start().await;
    let (asked, idle) = (session_id("asked"), session_id("idle"));
    host.invoke(&idle, "{}").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let router = host.host.router();
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let request = host.invocation(&asked, r#"{"do":"sleep","ms":3600000}"#);
            tokio::spawn(tower::ServiceExt::oneshot(router.clone(), request))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let host = host.restart().await;
    let detail = async |session: &str, event: &str| {
        let shown = host.show(session).await;
        let mut timeline = shown["timeline"].as_array().unwrap().iter();
        let found = timeline.find(|entry| entry["event"] == event);
        found.and_then(|entry| entry["detail"].as_str()).unwrap_or_default().to_owned()
    };
    assert_eq!(detail(&asked, "cut_off").await, "the host left with 2 requests in flight");
    assert!(detail(&asked, "adopted").await.ends_with("was cut off, if there was one"));
    assert_eq!(detail(&idle, "cut_off").await, "");
    assert_eq!(detail(&idle, "adopted").await, "a new host has taken over");
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_starting_goes_on_starting() {
    let host = TestHost::start().await;
    host.kind.script_next_start(ScriptedStart::NeverListen);
    let session = session_id("starting");
    let call = host.invoke(&session, "{}");
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    let host = host.restart().await;
    assert_eq!(host.state(&session).await, "starting");
    host.kind.agents()[0].listen();
    let answer = host.invoke(&session, "{}").await;
    assert_eq!((answer.json()["count"].as_u64(), answer.is_new_session()), (Some(1), false));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_stopping_is_stopped_for_the_same_reason() {
    let host = TestHost::start().await;
    let session = session_id("stopping");
    host.invoke(&session, "{}").await;
    host.kind.agents()[0].ignore_terminate();
    host.request(axum::http::Method::POST, &format!("/_agentcore/v1/sessions/{session}/stop")).await;
    let host = host.restart().await;
    assert_eq!(host.state(&session).await, "stopping");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(host.show(&session).await["reason"]["kind"], "StopRequested");
    assert_eq!(host.kind.running(), 0);
    host.end().await;
}

/// The first host is killed: its runtime is torn down in the middle of whatever it does.
#[test]
fn a_host_killed_while_it_starts_twenty_sessions_leaves_none_orphaned_and_none_twice() {
    for killed_after in [0, 1, 2, 4, 8, 16] {
        let first =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let host = first.block_on(TestHost::start());
        let router = host.host.router();
        first.spawn(async move {
            let calls = (0..20).map(|number| {
                let request = axum::http::Request::post("/invocations")
                    .header("host", "localhost")
                    .header(agentcore_protocol::headers::SESSION_ID, session_id(&format!("n{number}")))
                    .body(axum::body::Body::from("{}"))
                    .unwrap();
                tower::ServiceExt::oneshot(router.clone(), request)
            });
            futures_util::future::join_all(calls).await
        });
        first.block_on(async { tokio::time::sleep(Duration::from_millis(killed_after)).await });
        let (mut options, kind, clock) = host.parts();
        let TestHost { host, folder, behaviour, .. } = host;
        first.shutdown_timeout(Duration::from_secs(5));
        drop(host);
        let before = kind.agents().len();

        let second =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        second.block_on(async {
            options.on_shutdown = OnShutdown::Stop;
            let host = Host::start(options.clone(), Arc::new(kind.clone()), clock.clone()).await.unwrap();
            let host = TestHost::adopt(host, kind.clone(), behaviour, folder, options, clock);
            assert_eq!(kind.agents().len(), before, "adoption starts nothing");
            for number in 0..20 {
                host.invoke(&session_id(&format!("n{number}")), "{}").await;
            }
            let mut folders: Vec<_> = kind.agents().iter().map(|agent| agent.spec().folder.clone()).collect();
            folders.dedup();
            assert_eq!(kind.running(), 20, "one each, after {killed_after} ms");
            let listed = host.get("/_agentcore/v1/sessions?state=running").await.json();
            assert_eq!(listed["sessions"].as_array().unwrap().len(), 20);
            host.end().await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_belongs_to_no_session_on_record_is_swept_with_what_runs_in_it() {
    let host = TestHost::start().await;
    host.invoke(&session_id("forgotten"), "{}").await;
    let agent = host.kind.agents().remove(0);
    let (mut options, kind, clock) = host.parts();
    let TestHost { host: first, folder, behaviour, .. } = host;
    first.serve_until(std::future::ready(())).await.unwrap();
    std::fs::create_dir_all(&agent.spec().folder).unwrap();
    for file in ["agentcore.db", "agentcore.db-wal", "agentcore.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(file));
    }
    options.on_shutdown = OnShutdown::Stop;
    let next = Host::start(options.clone(), Arc::new(kind.clone()), clock.clone()).await.unwrap();
    assert!(agent.exited().is_some());
    assert!(!agent.spec().folder.exists());
    TestHost::adopt(next, kind, behaviour, folder, options, clock).end().await;
}
