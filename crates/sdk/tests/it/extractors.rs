//! The arguments of a handler beside its payload.

use std::sync::{Arc, Mutex};

use bedrock_agentcore::{App, CancellationToken, Health, PingStatus, RequestContext, Tasks};
use http::Request;
use serde_json::{Value, json};

use crate::support::{SESSION, invoke_app, send, service, status};

async fn context_of(request: http::request::Builder) -> RequestContext {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let app = App::new().entrypoint(move |_: Value, context: RequestContext| {
        *keep.lock().unwrap() = Some(context);
        async {}
    });
    send(&service(app), request.body("null".into()).unwrap()).await;
    let context = seen.lock().unwrap().take();
    context.expect("the handler was called")
}

#[tokio::test]
async fn a_handler_takes_up_to_four_arguments_in_any_order() {
    let app = App::new().entrypoint(
        async |payload: Value,
               tasks: Tasks,
               token: CancellationToken,
               context: RequestContext,
               health: Health| {
            assert!(!token.is_cancelled());
            assert_eq!(context.session_id(), None);
            health.force_ping_status(PingStatus::HealthyBusy);
            json!([payload, tasks.active_count(), health.get_current_ping_status().await])
        },
    );
    assert_eq!(invoke_app(app, "1").await.text(), r#"[1,0,"HealthyBusy"]"#);
}

#[tokio::test]
async fn a_blocking_handler_takes_the_same() {
    let app = App::new().entrypoint_blocking(
        |n: u64, tasks: Tasks, context: RequestContext, _: Health, _: CancellationToken| {
            tasks.add_async_task("t", ());
            (n, context.request_id().len())
        },
    );
    let service = service(app);
    assert_eq!(crate::support::invoke(&service, "1").await.text(), "[1,36]");
    assert_eq!(status(&service).await, "HealthyBusy");
}

#[tokio::test]
async fn the_context_has_the_documented_fields() {
    let context = context_of(
        Request::post("/invocations")
            .header("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", SESSION)
            .header("X-Amzn-Bedrock-AgentCore-Runtime-Request-Id", "request-1")
            .header("X-Amzn-Bedrock-AgentCore-Runtime-User-Id", "ada")
            .header("X-Amz-Bedrock-AgentCore-Identity-WAT", "token")
            .header("WorkloadAccessToken", "older")
            .header("OAuth2CallbackUrl", "https://example.org/back")
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .header("tracestate", "vendor=1"),
    )
    .await;
    assert_eq!(context.session_id(), Some(SESSION));
    assert_eq!(context.request_id(), "request-1");
    assert_eq!(context.user_id(), Some("ada"));
    assert_eq!(context.workload_access_token(), Some("token"));
    assert_eq!(context.oauth2_callback_url(), Some("https://example.org/back"));
    assert_eq!(context.trace_parent().unwrap().parent_id, 0x00f0_67aa_0ba9_02b7);
    assert_eq!(context.trace_state(), Some("vendor=1"));
    let shown = format!("{context:?}");
    assert!(shown.contains("request-1") && !shown.contains("token"), "{shown}");
}

#[tokio::test]
async fn what_a_request_does_not_say_is_absent_but_for_its_id() {
    let first = context_of(Request::post("/invocations").header("WorkloadAccessToken", "older")).await;
    assert_eq!(first.session_id(), None);
    assert_eq!(first.oauth2_callback_url(), None);
    assert_eq!(first.workload_access_token(), Some("older"));
    assert_eq!(first.trace_parent(), None);
    let second = context_of(Request::post("/invocations")).await;
    assert_ne!(first.request_id(), second.request_id());
    uuid::Uuid::parse_str(second.request_id()).unwrap();
}

#[tokio::test]
async fn a_handler_sees_the_callers_headers_and_not_the_connections() {
    let context = context_of(
        Request::post("/invocations")
            .header("Authorization", "Bearer x")
            .header("X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tenant", "t1")
            .header("X-Team", "a")
            .header("X-Team", "b")
            .header("Host", "h")
            .header("Cookie", "c")
            .header("Accept", "*/*")
            .header("Content-Type", "text/plain")
            .header("X-Amz-Date", "d")
            .header("X-Amzn-Trace-Id", "i")
            .header("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", SESSION),
    )
    .await;
    let mut names: Vec<_> = context.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["authorization", "x-amzn-bedrock-agentcore-runtime-custom-tenant", "x-team"]);
    assert_eq!(context.headers().get_all("x-team").iter().count(), 2);
}
