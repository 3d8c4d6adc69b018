//! Who reaches whose memory.

use axum::http::StatusCode;

use crate::support::{TestHost, session_id};

#[tokio::test(start_paused = true)]
async fn the_same_id_reaches_the_same_memory_and_two_ids_never_share_it() {
    let host = TestHost::start().await;
    let (a, b) = (session_id("a"), session_id("b"));
    let mut counts = Vec::new();
    for session in [&a, &a, &b, &a, &b] {
        let answer = host.invoke(session, "{}").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.headers["x-amzn-bedrock-agentcore-runtime-session-id"], session.as_str());
        counts.push((answer.json()["count"].as_u64().unwrap(), answer.is_new_session()));
    }
    assert_eq!(counts, [(1, true), (2, false), (1, true), (3, false), (2, false)]);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_begins_anew_and_the_answer_says_so() {
    let host = TestHost::start().await;
    let session = session_id("phoenix");
    host.invoke(&session, "{}").await;
    let stopped =
        host.request(axum::http::Method::POST, &format!("/_agentcore/v1/sessions/{session}/stop")).await;
    assert_eq!(stopped.status, StatusCode::ACCEPTED, "{stopped:?}");
    let again = host.invoke(&session, "{}").await;
    assert!(again.is_new_session());
    assert_eq!(again.json()["count"], 1, "its memory is empty");
    let shown = host.show(&session).await;
    assert_eq!(shown["earlier"][0]["reason"]["kind"], "StopRequested");
    assert_ne!(shown["earlier"][0]["incarnation"], shown["incarnation"]);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_fresh_incarnation_does_not_wait_for_the_old_one_to_die() {
    let host = TestHost::start().await;
    let session = session_id("stubborn");
    host.invoke(&session, "{}").await;
    host.kind.agents()[0].ignore_terminate();
    host.request(axum::http::Method::POST, &format!("/_agentcore/v1/sessions/{session}/stop")).await;
    assert_eq!(host.state(&session).await, "stopping");
    let again = host.invoke(&session, "{}").await;
    assert_eq!(again.json()["count"], 1);
    assert_eq!(host.kind.running(), 2);
    let shown = host.show(&session).await;
    assert_eq!((&shown["state"], &shown["earlier"][0]["state"]), (&"active".into(), &"stopping".into()));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_names_no_session_has_one_that_stays_the_same() {
    let host = TestHost::start().await;
    let post = || {
        let request = axum::http::Request::post("/invocations").header("host", "localhost");
        request.body(axum::body::Body::from("{}")).unwrap()
    };
    let first = host.send(post()).await;
    let name = first.headers()["x-amzn-bedrock-agentcore-runtime-session-id"].clone();
    let host = host.restart().await;
    let second = host.send(post()).await;
    assert_eq!(second.headers()["x-amzn-bedrock-agentcore-runtime-session-id"], name);
    assert!(second.headers().get("agentcore-session-new").is_none());
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_session_id_is_refused_with_what_would_do() {
    let host = TestHost::start().await;
    let answer = host.invoke("short", "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.json()["details"].as_str().unwrap().contains("33 to 256 characters"), "{answer:?}");
    assert!(host.kind.agents().is_empty());
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agents_own_status_and_body_pass_through() {
    let host = TestHost::start().await;
    let answer = host.invoke(&session_id("teapot"), r#"{"do":"fail"}"#).await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(answer.json()["error"], "short and stout");
    assert!(answer.headers.contains_key("agentcore-invocation-id"));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn another_agent_is_reached_by_its_name_and_a_wrong_name_is_told() {
    let host = TestHost::start_with(|options| {
        let mut other = options.agents[0].clone();
        other.name = "other".into();
        options.agents.push(other);
        options.default_agent = Some("tester".into());
    })
    .await;
    let session = session_id("same_id");
    for (path, agent) in [("/invocations", "tester"), ("/invocations?agent=other", "other")] {
        let mut request = host.invocation(&session, "{}");
        *request.uri_mut() = path.parse().unwrap();
        let answer = crate::support::Answer::of(host.send(request).await).await;
        assert_eq!(answer.json()["count"], 1, "{agent} has a session of its own");
    }
    let mut request = host.invocation(&session, "{}");
    *request.uri_mut() = "/invocations?agent=nobody".parse().unwrap();
    let answer = crate::support::Answer::of(host.send(request).await).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["error"], r#"There is no agent "nobody""#);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_together_find_one_session() {
    let host = TestHost::start().await;
    let session = session_id("crowd");
    let together = (0..20).map(|_| host.invoke(&session, "{}"));
    let answers = futures_util::future::join_all(together).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(answers.iter().filter(|answer| answer.is_new_session()).count(), 1);
    assert_eq!(host.kind.agents().len(), 1);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_strict_list_of_headers_reaches_the_agent() {
    let host = TestHost::start().await;
    let mut request = host.invocation(&session_id("headers"), r#"{"do":"headers"}"#);
    for (name, value) in [
        ("content-type", "application/json"),
        ("cookie", "a=b"),
        ("authorization", "Bearer x"),
        ("x-amzn-bedrock-agentcore-runtime-custom-tenant", "blue"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let seen = crate::support::Answer::of(host.send(request).await).await.json();
    assert_eq!(seen["x-amzn-bedrock-agentcore-runtime-custom-tenant"], "blue");
    assert_eq!(seen["x-amzn-bedrock-agentcore-runtime-session-id"], session_id("headers").as_str());
    assert!(seen["cookie"].is_null() && seen["authorization"].is_null(), "{seen}");
    host.end().await;
}
