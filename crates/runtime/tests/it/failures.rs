//! Agents that misbehave: the caller gets a clear error, the operator a reason, and nothing is left.

use agentcore_sandbox::{ExitStatus, ResourceLimits, ScriptedStart};
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;

use crate::support::{TestHost, session_id};

#[tokio::test(start_paused = true)]
async fn an_agent_that_exits_at_once_is_explained_by_its_log() {
    let host = TestHost::start().await;
    let log = b"Traceback:\nModuleNotFoundError: No module named 'strands'\n".to_vec();
    host.kind.script_next_start(ScriptedStart::ExitAtOnce { status: ExitStatus::Code(1), log });
    let session = session_id("import_error");
    let answer = host.invoke(&session, "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.json()["error"], "The agent did not start: exited with code 1");
    assert!(answer.json()["details"].as_str().unwrap().contains("No module named 'strands'"));
    let shown = host.show(&session).await;
    assert_eq!(shown["reason"]["kind"], "StartupFailed");
    assert!(shown["reason"]["detail"].as_str().unwrap().contains("No module named 'strands'"), "{shown}");
    let again = host.invoke(&session, "{}").await;
    assert!(again.status == StatusCode::OK && again.is_new_session(), "a failed start is no bar to the next");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_program_is_named() {
    let host = TestHost::start().await;
    host.kind.script_next_start(ScriptedStart::ProgramMissing);
    let answer = host.invoke(&session_id("missing"), "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("The agent did not start: cannot start /bin/tester:"), "{error}");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_listens_is_given_up_after_the_startup_limit() {
    let host = TestHost::start().await;
    host.kind.script_next_start(ScriptedStart::NeverListen);
    let session = session_id("never_listens");
    let answer = host.invoke(&session, "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("no good answer to GET /ping within 120 s: the latest has hung for "), "{error}");
    assert_eq!(host.show(&session).await["reason"]["kind"], "StartupFailed");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_does_not_return_is_given_up_too() {
    let host = TestHost::start().await;
    host.kind.script_next_start(ScriptedStart::Hang);
    let session = session_id("start_hangs");
    let answer = host.invoke(&session, "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    tokio::time::sleep(std::time::Duration::from_secs(40)).await;
    assert_eq!(host.state(&session).await, "stopped");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_ping_is_quoted_in_the_reason() {
    let host = TestHost::start().await;
    for (ping, quoted) in [
        ((200, "OK"), r#"it answered "OK" instead of"#),
        ((503, "{}"), "it answered with HTTP status 503"),
        ((200, r#"{"status":"Sick"}"#), "instead of"),
    ] {
        *host.behaviour.ping.lock().unwrap() = Some(ping);
        let answer = host.invoke(&session_id(&format!("bad_ping{}{}", ping.0, ping.1.len())), "{}").await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert!(answer.json()["error"].as_str().unwrap().contains(quoted), "{answer:?}");
    }
    *host.behaviour.ping.lock().unwrap() = None;
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_ping_without_a_timestamp_or_with_odd_ones_changes_nothing() {
    let host = TestHost::start().await;
    let session = session_id("odd_timestamps");
    *host.behaviour.ping.lock().unwrap() = Some((200, r#"{"status":"Healthy","time_of_last_update":-1.5}"#));
    assert_eq!(host.invoke(&session, "{}").await.status, StatusCode::OK);
    tokio::time::sleep(std::time::Duration::from_secs(70)).await;
    assert_eq!(host.show(&session).await["reason"]["kind"], "IdleTimeout");
    *host.behaviour.ping.lock().unwrap() = None;
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_dies_in_its_handler_is_explained() {
    let host = TestHost::start().await;
    let session = session_id("dies");
    host.invoke(&session, "{}").await;
    let answer = host.invoke(&session, r#"{"do":"exit"}"#).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        answer.json()["error"],
        "The session ended before it answered: ProcessExited: exited with code 3"
    );
    assert_eq!(answer.json()["details"], "last words\n");
    assert_eq!(host.show(&session).await["reason"]["kind"], "ProcessExited");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn running_out_of_memory_is_named() {
    let host = TestHost::start().await;
    let session = session_id("hungry");
    host.invoke(&session, "{}").await;
    host.kind.agents()[0].exit_out_of_memory();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let detail = host.show(&session).await["reason"]["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail, "ran out of memory, ended by signal 9 (SIGKILL)");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn keeping_too_much_on_disk_is_named_with_what_lets_it_keep_more() {
    let host = TestHost::start().await;
    let session = session_id("hoards");
    host.invoke(&session, "{}").await;
    let agent = host.kind.agents()[0].clone();
    let limit = agent.spec().limits.disk_bytes.unwrap();
    assert_eq!(limit, 10 << 30, "what the host's options say");
    agent.exit_over_disk_limit(limit);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let reason = host.show(&session).await["reason"].clone();
    assert_eq!(reason["kind"], "ProcessExited");
    assert_eq!(
        reason["detail"],
        "its folders held more than 10737418240 bytes, or too many files for that, ended by signal 9 (SIGKILL): \
         limits.disk_bytes of the agent, or limits.disk_bytes_per_session of the host, lets it keep more"
    );
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agents_own_limit_on_disk_goes_before_the_hosts() {
    for (own, effective) in [(Some(5), Some(5)), (Some(0), None)] {
        let host = TestHost::start_with(|options| options.agents[0].limits.disk_bytes = own).await;
        host.invoke(&session_id("disk"), "{}").await;
        assert_eq!(host.kind.agents()[0].spec().limits.disk_bytes, effective);
        host.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_instead_of_http_is_called_so() {
    let host = TestHost::start().await;
    let session = session_id("garbage");
    host.invoke(&session, "{}").await;
    // By then no connection rests any more.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    *host.behaviour.raw.lock().unwrap() = Some(b"SSH-2.0-OpenSSH_9.2\r\n");
    let answer = host.invoke(&session, "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.json()["error"], "The agent's answer is not HTTP");
    *host.behaviour.raw.lock().unwrap() = Some(b"");
    let answer = host.invoke(&session, "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.json()["error"], "The agent closed the connection before it answered");
    *host.behaviour.raw.lock().unwrap() = None;
    assert!(host.timeline(&session).await.contains(&"invocation_failed".to_owned()));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_breaks_off_for_the_caller_and_is_on_record() {
    let host = TestHost::start().await;
    let session = session_id("breaks_off");
    host.invoke(&session, "{}").await;
    let response = host.send(host.invocation(&session, r#"{"do":"break"}"#)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(host.timeline(&session).await.contains(&"answer_broken_off".to_owned()));
    assert_eq!(host.kind.running(), 1, "the session goes on");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_is_a_gateway_timeout() {
    let host = TestHost::start_with(|options| {
        options.timeouts.answer = std::time::Duration::from_secs(5);
    })
    .await;
    let session = session_id("hangs");
    host.invoke(&session, "{}").await;
    let answer = host.invoke(&session, r#"{"do":"sleep","ms":60000}"#).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.json()["error"], "The agent did not begin its answer within 5 s");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_stopped_while_it_starts_tells_its_caller() {
    let host = TestHost::start().await;
    host.kind.script_next_start(ScriptedStart::NeverListen);
    let session = session_id("stopped_early");
    let path = format!("/_agentcore/v1/sessions/{session}/stop");
    let (answer, stopped) = tokio::join!(host.invoke(&session, "{}"), async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        host.request(Method::POST, &path).await
    });
    assert_eq!(stopped.status, StatusCode::ACCEPTED);
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        answer.json()["error"],
        "The session ended before it could answer: StopRequested: somebody asked for it"
    );
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn sessions_have_limits_that_nobody_asked_for() {
    let limits_with = async |own: ResourceLimits| {
        let host = TestHost::start_with(|options| {
            options.limits.memory_bytes_per_session = Some(1 << 30);
            options.agents[0].limits = own;
        })
        .await;
        host.invoke(&session_id("limits"), "{}").await;
        let limits = host.kind.agents()[0].spec().limits;
        host.end().await;
        limits
    };
    let limits = limits_with(ResourceLimits::default()).await;
    assert_eq!((limits.memory_bytes, limits.processes), (Some(1 << 30), Some(1_024)));
    assert_eq!((limits.cpus, limits.disk_bytes), (None, Some(10 << 30)));
    let own = ResourceLimits { memory_bytes: Some(1 << 20), processes: Some(0), ..limits };
    let limits = limits_with(own).await;
    assert_eq!((limits.memory_bytes, limits.processes), (Some(1 << 20), None));
}

#[tokio::test(start_paused = true)]
async fn a_session_may_use_half_of_the_machines_memory() {
    let host = TestHost::start().await;
    host.invoke(&session_id("half"), "{}").await;
    let memory = host.kind.agents()[0].spec().limits.memory_bytes.unwrap();
    assert!(memory >= 1 << 28, "{memory}");
    host.end().await;
}
