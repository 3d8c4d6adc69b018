//! WebSockets, as AWS's clients open them.

use agentcore_runtime::OnShutdown;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{TestHost, session_id};

#[tokio::test]
async fn a_socket_reaches_its_session_and_a_refusal_is_an_exception() {
    let host = TestHost::start_with(|options| options.on_shutdown = OnShutdown::Stop).await.serve();
    let session = session_id("socket");
    let open = async |runtime: &str| {
        let name = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id";
        let url = format!("ws://{}/runtimes/{runtime}/ws?qualifier=DEFAULT&{name}={session}", host.address);
        client_async(url.into_client_request().unwrap(), host.connect().await).await
    };
    let (mut socket, answer) = open("tester").await.unwrap();
    assert_eq!(answer.headers()[agentcore_protocol::headers::SESSION_ID], session.as_str());
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(session.clone()));
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    let Err(Error::Http(refused)) = open("nobody").await else { panic!("accepted") };
    assert_eq!(refused.status(), 404);
    assert_eq!(refused.headers()[super::ERROR_TYPE], "ResourceNotFoundException");
    drop(socket);
    host.end().await;
}

#[tokio::test]
async fn who_asks_for_a_shell_is_told_what_there_is_instead() {
    let host = TestHost::start().await;
    let answer = host.get("/runtimes/tester/ws/shells?shellId=mine").await;
    super::error(&answer, 400, "ValidationException");
    assert!(answer.text.contains("InvokeAgentRuntimeCommand"), "{}", answer.text);
    host.end().await;
}
