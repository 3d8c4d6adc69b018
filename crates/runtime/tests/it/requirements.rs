//! A host that runs sessions only behind every wall.

use agentcore_sandbox::NetworkMode;
use axum::http::StatusCode;

use crate::support::{TestHost, eventually, session_id};
use crate::visitors::{asked, token};

#[tokio::test(start_paused = true)]
async fn an_agent_that_would_share_the_network_is_not_started() {
    let host = TestHost::start_with(|options| {
        options.require_walls = true;
        options.agents[0].network = Some(NetworkMode::Host);
    })
    .await;
    let refused = host.invoke(&session_id("one"), "{}").await;
    assert!(refused.status.is_server_error() && refused.text.contains("no wall: network"), "{refused:?}");
    assert_eq!(host.kind.agents().len(), 0);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_an_earlier_host_left_without_is_stopped_and_its_record_says_why() {
    let mut host = TestHost::start_with(|options| options.network = Some(NetworkMode::Host)).await;
    assert_eq!(host.invoke(&session_id("one"), "{}").await.status, StatusCode::OK);
    host.options.network = Some(NetworkMode::Egress);
    host.options.require_walls = true;
    let host = host.restart().await;
    // The agents of the earlier host were on the machine's network: the API asks for the token.
    let token = token(&host);
    let path = format!("GET /_agentcore/v1/sessions/{}", session_id("one"));
    let show = async || asked(&host, &path, Some(&token)).await.json();
    eventually("it is stopped", async || show().await["state"] == "stopped").await;
    assert!(show().await.to_string().contains("--require-walls"));
    assert_eq!(host.invoke(&session_id("one"), "{}").await.status, StatusCode::OK);
    host.end().await;
}
