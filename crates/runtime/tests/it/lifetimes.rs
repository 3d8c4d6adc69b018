//! How long sessions live, in paused time.

use std::time::Duration;

use agentcore_protocol::lifecycle::LifecycleConfiguration;
use agentcore_sandbox::{ExitStatus, StopSignal};
use axum::http::{Method, StatusCode};

use crate::support::{TestHost, eventually, session_id};

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_ends_after_its_idle_timeout_and_says_why() {
    let host = TestHost::start().await;
    let session = session_id("idle");
    host.invoke(&session, "{}").await;
    pass(50).await;
    assert_eq!(host.state(&session).await, "idle");
    pass(20).await;
    let shown = host.show(&session).await;
    assert_eq!(shown["state"], "stopped");
    assert_eq!(shown["reason"]["kind"], "IdleTimeout");
    assert_eq!(shown["reason"]["detail"], "idle for 60 s");
    let lived = shown["ended_at"].as_u64().unwrap() - shown["started_at"].as_u64().unwrap();
    assert!((60_000..64_000).contains(&lived), "{lived}");
    assert_eq!(host.timeline(&session).await, ["started", "healthy", "idle", "stopping", "stopped"]);
    assert_eq!(host.kind.agents()[0].signals(), [StopSignal::Terminate]);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_session_outlives_its_idle_timeout() {
    let host = TestHost::start().await;
    let session = session_id("busy");
    host.invoke(&session, r#"{"do":"busy"}"#).await;
    pass(600).await;
    let shown = host.show(&session).await;
    assert_eq!((&shown["state"], &shown["ping_status"]), (&"active".into(), &"HealthyBusy".into()));
    assert_eq!(host.invoke(&session, r#"{"do":"rest"}"#).await.json()["count"], 2);
    pass(55).await;
    assert_eq!(host.state(&session).await, "idle");
    pass(15).await;
    assert_eq!(host.state(&session).await, "stopped");
    let timeline = host.timeline(&session).await;
    assert_eq!(timeline, ["started", "healthy", "busy", "idle", "stopping", "stopped"]);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_outlasts_the_idle_timeout_is_not_cut() {
    let host = TestHost::start().await;
    let session = session_id("slow");
    let answer = host.invoke(&session, r#"{"do":"sleep","ms":300000}"#).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(host.kind.running(), 1);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn invocations_keep_a_session_alive() {
    let host = TestHost::start().await;
    let session = session_id("lively");
    for count in 1..=6 {
        assert_eq!(host.invoke(&session, "{}").await.json()["count"], count);
        pass(50).await;
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn maximum_life_ends_even_a_busy_session() {
    let host = TestHost::start().await;
    let session = session_id("old");
    host.invoke(&session, r#"{"do":"busy"}"#).await;
    pass(3_590).await;
    assert_eq!(host.state(&session).await, "active");
    pass(12).await;
    let shown = host.show(&session).await;
    assert_eq!(shown["reason"]["kind"], "MaxLifetime");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ignores_sigterm_is_killed_after_the_grace_period() {
    let host = TestHost::start().await;
    let session = session_id("deaf");
    host.invoke(&session, "{}").await;
    let agent = host.kind.agents().remove(0);
    agent.ignore_terminate();
    host.request(Method::POST, &format!("/_agentcore/v1/sessions/{session}/stop")).await;
    pass(29).await;
    assert_eq!(host.state(&session).await, "stopping");
    pass(2).await;
    assert_eq!(host.state(&session).await, "stopped");
    assert_eq!(agent.exited().unwrap().status, ExitStatus::Signal(9));
    assert!(host.timeline(&session).await.contains(&"killed".to_owned()));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_blocked_busy_agent_is_waited_for_and_a_silent_idle_one_is_not() {
    let host = TestHost::start().await;
    let (busy, idle) = (session_id("blocked"), session_id("dead"));
    host.invoke(&busy, r#"{"do":"busy"}"#).await;
    host.invoke(&idle, "{}").await;
    pass(10).await;
    for agent in host.kind.agents() {
        agent.stop_listening();
    }
    pass(55).await;
    let shown = host.show(&idle).await;
    assert_eq!(shown["reason"]["kind"], "HealthCheckFailed", "{shown}");
    assert!(shown["reason"]["detail"].as_str().unwrap().contains("no answer within 10 s"), "{shown}");
    assert_eq!(host.state(&busy).await, "active");
    let ping = format!("/ping?X-Amzn-Bedrock-AgentCore-Runtime-Session-Id={busy}");
    let told = host.get(&ping).await.json();
    assert_eq!(told["status"], "HealthyBusy");
    assert!(told["time_of_last_update"].as_u64().unwrap() >= 1_700_000_000, "{told}");
    pass(20).await;
    assert_eq!(host.get(&ping).await.json(), told, "only a change of status is an update");
    host.kind.agents()[0].listen();
    pass(5).await;
    let timeline = host.timeline(&busy).await;
    assert_eq!(timeline[3..], ["unresponsive", "answering"]);
    host.kind.agents()[0].stop_listening();
    pass(930).await;
    assert_eq!(host.show(&busy).await["reason"]["kind"], "HealthCheckFailed");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_roots_ping_is_the_agents_own_and_never_begins_or_prolongs_a_session() {
    let host = TestHost::start().await;
    let ping = async || host.get("/ping").await.json();
    let at_rest = ping().await;
    assert_eq!(at_rest["status"], "Healthy");
    assert!(at_rest["time_of_last_update"].as_u64().unwrap() >= 1_700_000_000);
    assert!(host.kind.agents().is_empty());
    let invoke = async |payload: &'static str| {
        let request = axum::http::Request::post("/invocations").header("host", "localhost");
        host.send(request.body(payload.into()).unwrap()).await
    };
    invoke(r#"{"do":"busy"}"#).await;
    assert_eq!(ping().await["status"], "HealthyBusy");
    invoke(r#"{"do":"rest"}"#).await;
    for _ in 0..70 {
        assert_eq!(ping().await["status"], "Healthy");
        pass(1).await;
    }
    assert_eq!(host.kind.running(), 0, "pings are no use of a session");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_stops_its_sessions_says_so() {
    let host =
        TestHost::start_with(|options| options.on_shutdown = agentcore_runtime::OnShutdown::Stop).await;
    let session = session_id("last");
    host.invoke(&session, "{}").await;
    let kind = host.kind.clone();
    let next = host.restart().await;
    assert_eq!(kind.running(), 0);
    assert_eq!(next.show(&session).await["reason"]["kind"], "HostShutdown");
    next.end().await;
}

#[tokio::test(start_paused = true)]
async fn many_sessions_with_lives_of_their_own_all_come_to_their_end() {
    let host = TestHost::start_with(|options| {
        options.limits.new_sessions_per_second = 1_000;
        let limits =
            LifecycleConfiguration { idle_runtime_session_timeout: Some(20), max_lifetime: Some(300) };
        options.agents[0].lifecycle = limits.try_into().unwrap();
    })
    .await;
    let random = fastrand::Rng::with_seed(7);
    let lives = (0..60).map(|number| {
        let (host, mut random) = (&host, fastrand::Rng::with_seed(random.clone().u64(..) + number));
        async move {
            let session = session_id(&format!("crowd{number}"));
            for _ in 0..random.u64(1..4) {
                let payload = match random.u32(..5) {
                    0 => r#"{"do":"busy"}"#.to_owned(),
                    1 => r#"{"do":"rest"}"#.to_owned(),
                    2 => r#"{"do":"exit"}"#.to_owned(),
                    _ => format!(r#"{{"do":"sleep","ms":{}}}"#, random.u64(..100_000)),
                };
                let answer = host.invoke(&session, &payload).await;
                assert!(answer.status == 200 || payload.contains("exit"), "{payload}: {answer:?}");
                pass(random.u64(..100)).await;
            }
        }
    });
    futures_util::future::join_all(lives).await;
    pass(310).await;
    eventually("all have ended", async || host.kind.running() == 0).await;
    let sessions = host.get("/_agentcore/v1/sessions?limit=1000").await.json();
    let sessions = sessions["sessions"].as_array().unwrap();
    assert!(sessions.len() >= 60);
    for session in sessions {
        let kind = session["reason"]["kind"].as_str().unwrap();
        assert!(["IdleTimeout", "MaxLifetime", "ProcessExited"].contains(&kind), "{session}");
    }
    host.end().await;
}
