//! What the audit log says of who did what.

use agentcore_auth::Rights;
use agentcore_runtime::audit::{self, AuditRecord};
use axum::http::{Method, StatusCode};

use crate::callers::{INVOKE, asking_host, call, key, signed};
use crate::support::{TestHost, session_id};

/// What is on record once there are `count` lines.
async fn records(host: &TestHost, count: usize) -> (Vec<AuditRecord>, String) {
    let path = audit::path(host.folder.path());
    // The log has a thread of its own, for which paused time does not stand still.
    let written = tokio::task::spawn_blocking(move || {
        for _ in 0..10_000 {
            let text = std::fs::read_to_string(&path).unwrap();
            if text.lines().count() >= count {
                return text;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
        panic!("fewer than {count} records");
    });
    let text = written.await.unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), text)
}

#[tokio::test(start_paused = true)]
async fn what_reaches_an_agent_or_is_refused_is_on_record_without_its_payload() {
    let (host, keys) = asking_host().await;
    let key = key(&host, &keys, Rights::invoke(["tester"]));
    let session = session_id("mine");
    assert_eq!(call(&host, &key, INVOKE, &session, r#"{"echo":"swordfish"}"#).await.status, StatusCode::OK);
    let command = r#"{"command":"echo swordfish"}"#;
    let commanded = host.send(signed(&host, &key, "POST /runtimes/tester/commands", &session, command)).await;
    assert_eq!(commanded.status(), StatusCode::OK);
    assert_eq!(host.get("/invocations?password=swordfish").await.status, StatusCode::FORBIDDEN);
    let mut forged = signed(&host, &key, INVOKE, &session, "{}");
    *forged.body_mut() = "swordfish".into();
    assert_eq!(host.send(forged).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(call(&host, &key, "POST /runtimes", &session, "").await.status, StatusCode::OK);
    let others = call(&host, &key, "DELETE /runtimes/tester/", &session, "").await;
    assert_eq!(others.status, StatusCode::FORBIDDEN);

    let create = r#"{"agentRuntimeName":"planted"}"#;
    assert_eq!(call(&host, &key, "PUT /runtimes/", &session, create).await.status, StatusCode::FORBIDDEN);

    let (records, text) = records(&host, 6).await;
    let [invoked, commanded, unsigned, forged, denied, planted] = &records[..] else { panic!("{text}") };
    assert_eq!((&*planted.action, planted.status), ("CreateAgentRuntime", Some(403)));
    assert_eq!(planted.agent.as_deref(), Some("planted"), "it is on record whose name was to be taken");
    let id = &key.record().id;
    assert_eq!(invoked.principal, Some(format!("key:{id}")));
    assert_eq!((&invoked.key, &*invoked.action), (&Some(id.clone()), "InvokeAgentRuntime"));
    assert_eq!((invoked.agent.as_deref(), invoked.endpoint.as_deref()), (Some("tester"), Some("DEFAULT")));
    assert_eq!((&invoked.session, invoked.status), (&Some(session.clone()), Some(200)));
    assert!(invoked.request_id.is_some());
    assert_eq!((&*commanded.action, commanded.command_bytes), ("InvokeAgentRuntimeCommand", Some(14)));
    assert_eq!((&unsigned.principal, &unsigned.claimed_key, unsigned.status), (&None, &None, Some(403)));
    assert_eq!(unsigned.request.as_deref(), Some("GET /invocations"));
    assert_eq!((&forged.principal, &forged.claimed_key), (&None, &Some(id.clone())));
    assert_eq!((&*denied.action, denied.status), ("DeleteAgentRuntime", Some(403)));
    assert_eq!(denied.error.as_deref(), Some("AccessDeniedException"));
    assert!(!text.contains("swordfish") && !text.contains(key.secret().expose()), "{text}");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn where_nobody_is_asked_changes_are_on_record_and_invocations_are_not() {
    let host = TestHost::start().await;
    let session = session_id("local");
    host.invoke(&session, "{}").await;
    host.get("/_agentcore/v1/sessions").await;
    host.request(Method::POST, &format!("/_agentcore/v1/sessions/{session}/stop")).await;
    let (records, text) = records(&host, 1).await;
    let [stopped] = &records[..] else { panic!("{text}") };
    assert_eq!((&*stopped.action, stopped.principal.as_deref()), ("StopSession", Some("local")));
    assert_eq!((&stopped.session, stopped.status), (&Some(session), Some(202)));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_before_the_answer_is_on_record() {
    let (host, keys) = asking_host().await;
    let key = key(&host, &keys, Rights::operator());
    let slow = signed(&host, &key, INVOKE, &session_id("slow"), r#"{"do":"sleep","ms":5000}"#);
    let left = tokio::time::timeout(std::time::Duration::from_secs(1), host.send(slow)).await;
    assert!(left.is_err());
    let (records, _) = records(&host, 1).await;
    assert_eq!((records[0].status, records[0].error.as_deref()), (None, Some("CallerLeft")));
    host.end().await;
}
