//! Invoking, stopping, commands, cards.

use std::time::Duration;

use agentcore_protocol::headers::SESSION_ID;
use agentcore_sandbox::{ExitStatus, ScriptedCommand, ScriptedStart};

use super::{call, error, invoke};
use crate::support::{TestHost, eventually, session_id};

#[tokio::test(start_paused = true)]
async fn an_invocation_passes_through_with_what_clients_ask_for() {
    let host = TestHost::start().await;
    let session = session_id("aws");
    let answer = invoke(&host, &session, "{}").await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (200, r#"{"count":1}"#));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers[SESSION_ID], session.as_str());
    assert!(answer.headers.contains_key("x-amzn-requestid"));
    let unnamed = call(&host, "POST /runtimes/tester/invocations", &[], "{}").await;
    assert_ne!(unnamed.headers[SESSION_ID], session.as_str());
    let at_root = host.invoke(&session, "{}").await;
    assert_eq!(at_root.json()["count"], 2, "it is the session that the root knows");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_an_agent_fails_with_becomes_a_424_that_says_why() {
    let host = TestHost::start().await;
    let session = session_id("failing");
    invoke(&host, &session, "{}").await;
    host.kind.agents()[0].write_log(b"Traceback: short and stout\n");
    let message = error(&invoke(&host, &session, r#"{"do":"fail"}"#).await, 424, "RuntimeClientError");
    let message = message["message"].as_str().unwrap();
    assert!(
        message.starts_with(r#"The agent answered 418 I'm a teapot: {"error":"short and stout"}"#),
        "{message}"
    );
    assert!(message.ends_with("The end of its log:\nTraceback: short and stout"), "{message}");
    let message = error(&invoke(&host, &session, r#"{"do":"exit"}"#).await, 424, "RuntimeClientError");
    let message = message["message"].as_str().unwrap();
    assert!(
        message.contains("ProcessExited: exited with code 3") && message.ends_with("last words"),
        "{message}"
    );
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_start_says_why() {
    let host = TestHost::start().await;
    let log = b"ModuleNotFoundError: No module named 'strands'\n".to_vec();
    host.kind.script_next_start(ScriptedStart::ExitAtOnce { status: ExitStatus::Code(1), log });
    let answer = invoke(&host, &session_id("stillborn"), "{}").await;
    let message = error(&answer, 424, "RuntimeClientError");
    assert!(message["message"].as_str().unwrap().contains("No module named 'strands'"), "{message}");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_host_refuses_has_the_exception_of_the_model() {
    let host = TestHost::start_with(|options| {
        options.limits.sessions = 1;
        options.limits.requests_per_session = 1;
        options.timeouts.answer = Duration::from_secs(3);
    })
    .await;
    let session = session_id("only");
    let invalid = error(&invoke(&host, "short", "{}").await, 400, "ValidationException");
    assert_eq!(invalid["reason"], "FieldValidationFailed");
    assert_eq!(invalid["fieldList"][0]["name"], "runtimeSessionId");
    error(
        &call(&host, "POST /runtimes/nobody/invocations", &[], "{}").await,
        404,
        "ResourceNotFoundException",
    );
    let nowhere = "POST /runtimes/tester/invocations?qualifier=nowhere";
    error(&call(&host, nowhere, &[], "{}").await, 404, "ResourceNotFoundException");
    let too_much = [("content-length", "100000001")];
    let too_much = call(&host, "POST /runtimes/tester/invocations", &too_much, "{}").await;
    error(&too_much, 400, "ValidationException");
    let sleep = r#"{"do":"sleep","ms":2000}"#;
    let (slow, full) = tokio::join!(invoke(&host, &session, sleep), async {
        eventually("the first is in flight", async || host.kind.running() == 1).await;
        invoke(&host, &session, "{}").await
    });
    assert_eq!(slow.status, 200);
    error(&full, 429, "ThrottlingException");
    assert_eq!(full.headers["retry-after"], "1");
    error(&invoke(&host, &session_id("another"), "{}").await, 402, "ServiceQuotaExceededException");
    let late = invoke(&host, &session, r#"{"do":"sleep","ms":60000}"#).await;
    error(&late, 504, "InternalServerException");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_from_elsewhere_or_asks_for_nothing_known_is_told_so_too() {
    let host = TestHost::start().await;
    let elsewhere = [("origin", "https://evil.example")];
    let refused = call(&host, "POST /runtimes/tester/invocations", &elsewhere, "{}").await;
    assert_eq!(
        (refused.status.as_u16(), &refused.headers[super::ERROR_TYPE]),
        (403, &"AccessDeniedException".parse().unwrap())
    );
    let long = " ".repeat(2 * 1024 * 1024 + 1);
    let long = call(&host, "POST /runtimes/tester/stopruntimesession", &[], long).await;
    error(&long, 400, "ValidationException");
    error(&call(&host, "POST /runtimes/%FF/invocations", &[], "{}").await, 400, "ValidationException");
    for unknown in ["GET /runtimes/tester/nothing", "DELETE /runtimes/tester/invocations"] {
        let unknown = call(&host, unknown, &[], "").await;
        assert_eq!(unknown.headers[super::ERROR_TYPE], "ResourceNotFoundException");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_answered_once_it_is_decided_and_again_to_its_retry() {
    let host = TestHost::start().await;
    let session = session_id("stopped");
    let stop = async |token: &str| {
        let body = format!(r#"{{"clientToken":"{token}"}}"#);
        call(&host, "POST /runtimes/tester/stopruntimesession", &[(SESSION_ID, &session)], body).await
    };
    error(&stop("before").await, 404, "ResourceNotFoundException");
    invoke(&host, &session, "{}").await;
    for _ in 0..2 {
        let answer = stop("once").await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (200, "{}"));
        assert_eq!(answer.headers[SESSION_ID], session.as_str());
    }
    error(&stop("twice").await, 404, "ResourceNotFoundException");
    let unnamed = call(&host, "POST /runtimes/tester/stopruntimesession", &[], "").await;
    error(&unnamed, 400, "ValidationException");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_runs_in_its_session_and_keeps_it_busy() {
    let host = TestHost::start().await;
    let session = session_id("commanded");
    host.kind.script_commands(|command| ScriptedCommand {
        stdout: command.as_bytes().to_vec(),
        hang: command == "hang",
        ..ScriptedCommand::default()
    });
    let run = async |body: &'static str| {
        let request = super::signed("POST /runtimes/tester/commands", &[(SESSION_ID, &session)], body);
        host.send(request).await
    };
    let answer = run(r#"{"command":"hello"}"#).await;
    assert_eq!(answer.headers()["content-type"], "application/vnd.amazon.eventstream");
    let read = async |answer: axum::http::Response<axum::body::Body>| {
        let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let told = read(answer).await;
    for part in [r#"{"contentStart":{}}"#, r#"{"stdout":"hello"}"#, r#"{"exitCode":0,"status":"COMPLETED"}"#]
    {
        assert!(told.contains(part), "{told}");
    }
    let answer = run(r#"{"command":"hang","timeout":5}"#).await;
    assert_eq!(host.show(&session).await["in_flight"], 1);
    assert!(read(answer).await.contains(r#""status":"TIMED_OUT""#));
    eventually("it is idle again", async || host.show(&session).await["in_flight"] == 0).await;
    drop(run(r#"{"command":"hang","timeout":3600}"#).await);
    eventually("nobody listens", async || host.show(&session).await["in_flight"] == 0).await;
    for bad in [r#"{"command":""}"#, r#"{"command":"x","timeout":0}"#, "{}", "no"] {
        let refused = call(&host, "POST /runtimes/tester/commands", &[(SESSION_ID, &session)], bad).await;
        error(&refused, 400, "ValidationException");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn headers_that_a_runtime_allows_reach_its_agent() {
    let host = TestHost::start_with(|options| {
        options.agents[0].request_headers = vec!["x-team".to_owned()];
    })
    .await;
    let headers = [("x-team", "red"), ("x-other", "blue"), ("cookie", "a=b")];
    let answer = call(&host, "POST /runtimes/tester/invocations", &headers, r#"{"do":"headers"}"#).await;
    let seen = answer.json();
    assert_eq!((&seen["x-team"], &seen["host"]), (&"red".into(), &"localhost".into()));
    for name in ["x-other", "cookie", "authorization"] {
        assert!(seen[name].is_null(), "{name}");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_card_comes_from_the_agent() {
    let host = TestHost::start().await;
    let path = "GET /runtimes/tester/invocations/.well-known/agent-card.json";
    let answer = call(&host, path, &[], "").await;
    assert_eq!(answer.json()["name"], "tester");
    host.end().await;
}
