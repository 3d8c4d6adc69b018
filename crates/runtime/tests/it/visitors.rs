//! What callers who show nothing may do where agents share the machine's network.

use agentcore_runtime::{AgentDefinition, HOST_TOKEN_FILE, HOST_TOKEN_HEADER, HostOptions};
use agentcore_sandbox::NetworkMode;
use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::support::{Answer, TestHost, session_id};

/// What is asked for with more than nothing.
const CLOSED: [&str; 12] = [
    "GET /_agentcore/v1/sessions",
    "GET /_agentcore/v1/host",
    "GET /_agentcore/v1/tasks",
    "GET /_agentcore/v1/invocations",
    "DELETE /_agentcore/v1/agents/nobody",
    "PUT /runtimes/",
    "POST /runtimes/",
    "GET /runtimes/tester",
    "DELETE /runtimes/tester/runtime-endpoints/DEFAULT",
    "GET /tags/tester",
    "POST /runtimes/tester/commands",
    "POST /runtimes/tester/stopruntimesession",
];

pub(crate) async fn asked(host: &TestHost, what: &str, token: Option<&str>) -> Answer {
    let (method, path) = what.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    if let Some(token) = token {
        request = request.header(HOST_TOKEN_HEADER, token);
    }
    Answer::of(host.send(request.body(Body::from("{}")).unwrap()).await).await
}

pub(crate) fn token(host: &TestHost) -> String {
    std::fs::read_to_string(host.folder.path().join(HOST_TOKEN_FILE)).unwrap()
}

async fn ask_for_the_token(host: &TestHost) -> bool {
    asked(host, CLOSED[0], None).await.status == StatusCode::FORBIDDEN
}

fn sharing(options: &mut HostOptions) {
    options.network = Some(NetworkMode::Host);
}

#[tokio::test(start_paused = true)]
async fn they_may_invoke_and_no_more() {
    let host = TestHost::start_with(sharing).await;
    assert_eq!(host.invoke(&session_id("one"), "{}").await.status, StatusCode::OK);
    assert_eq!(asked(&host, "POST /runtimes/tester/invocations", None).await.status, StatusCode::OK);
    assert_eq!(host.get("/ping").await.status, StatusCode::OK);
    let token = token(&host);
    for what in CLOSED {
        for shown in [None, Some(""), Some("0"), Some(&token[1..])] {
            let refused = asked(&host, what, shown).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what} with {shown:?}");
        }
        assert_ne!(asked(&host, what, Some(&token)).await.status, StatusCode::FORBIDDEN, "{what}");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn they_are_told_what_to_show() {
    let host = TestHost::start_with(sharing).await;
    let file = host.folder.path().join(HOST_TOKEN_FILE);
    for what in ["GET /_agentcore/v1/sessions", "PUT /runtimes/"] {
        let told = asked(&host, what, None).await.text;
        for words in [&*file.to_string_lossy(), HOST_TOKEN_HEADER, "agentcore keys create"] {
            assert!(told.contains(words), "{what}: {told}");
        }
        assert!(!told.contains(&token(&host)), "{what}");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_token_is_its_owners_alone_and_no_agent_gets_it() {
    use std::os::unix::fs::PermissionsExt;
    let host = TestHost::start_with(|options| {
        sharing(options);
        options.agents[0].request_headers = vec![HOST_TOKEN_HEADER.to_owned()];
    })
    .await;
    let file = host.folder.path().join(HOST_TOKEN_FILE);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = token(&host);
    let told = asked(&host, "POST /runtimes/tester/invocations", Some(&before)).await;
    assert_eq!(told.status, StatusCode::OK);
    assert!(!told.text.contains(&before), "{}", told.text);
    // Whoever saw it once has nothing once the host has ended.
    let host = host.restart().await;
    assert_ne!(token(&host), before);
    host.end().await;
    assert!(!file.exists());
}

#[tokio::test(start_paused = true)]
async fn where_no_agent_shares_it_nobody_is_asked() {
    for mode in [None, Some(NetworkMode::Egress), Some(NetworkMode::None)] {
        let host = TestHost::start_with(|options| options.network = mode).await;
        for what in CLOSED {
            assert_ne!(asked(&host, what, None).await.status, StatusCode::FORBIDDEN, "{what} with {mode:?}");
        }
        host.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_agent_that_shares_it_is_enough() {
    let host = TestHost::start_with(|options| {
        let mut sharer = AgentDefinition::new("sharer", "/bin/sharer", "/");
        sharer.network = Some(NetworkMode::Host);
        options.agents.push(sharer);
    })
    .await;
    assert!(ask_for_the_token(&host).await);
    // What it began may go on.
    let forgotten = asked(&host, "DELETE /_agentcore/v1/agents/sharer", Some(&token(&host))).await;
    assert!(forgotten.status.is_success(), "{forgotten:?}");
    assert!(ask_for_the_token(&host).await);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_shares_it_and_outlives_its_host_is_enough() {
    let mut host = TestHost::start_with(sharing).await;
    assert_eq!(host.invoke(&session_id("one"), "{}").await.status, StatusCode::OK);
    host.options.network = Some(NetworkMode::Egress);
    let host = host.restart().await;
    assert!(ask_for_the_token(&host).await);
    host.end().await;
}
