//! The host's own socket: WebSockets, half-sent requests, callers that leave, shutdown.

use std::time::Duration;

use agentcore_runtime::OnShutdown;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{Serving, TestHost, eventually, session_id};

async fn serve() -> Serving {
    TestHost::start_with(|options| {
        options.on_shutdown = OnShutdown::Stop;
        options.timeouts.drain = Duration::from_millis(200);
    })
    .await
    .serve()
}

/// Waits until the one agent has an invocation.
async fn expect_invocation(host: &Serving) {
    eventually("the agent has it", async || {
        let agents = host.kind.agents();
        agents.first().is_some_and(|agent| *host.behaviour.mind(agent).invocations.lock().unwrap() > 0)
    })
    .await;
}

async fn open(
    host: &Serving,
    session: &str,
    header: Option<&'static str>,
) -> Result<WebSocketStream<TcpStream>, Error> {
    let name = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id";
    let url = format!("ws://{}/ws?{name}={session}", host.address);
    let mut request = url.into_client_request().unwrap();
    if let Some(name) = header {
        request.headers_mut().insert(name, "yes".parse().unwrap());
    }
    Ok(client_async(request, host.connect().await).await?.0)
}

#[tokio::test]
async fn messages_of_both_kinds_go_both_ways_and_the_close_code_comes_through() {
    let host = serve().await;
    let session = session_id("socket");
    let mut socket = open(&host, &session, None).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(session), "the query names the session");
    for message in [Message::text("hello"), Message::binary(vec![7; 300_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.send(Message::text("fail")).await.unwrap();
    let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(frame.code), 1011);
    host.end().await;
}

#[tokio::test]
async fn an_agents_refusal_passes_through() {
    let host = serve().await;
    let refuse = Some("x-amzn-bedrock-agentcore-runtime-custom-refuse");
    let Err(Error::Http(answer)) = open(&host, &session_id("refused"), refuse).await else {
        panic!("accepted")
    };
    assert_eq!(answer.status(), 403);
    assert_eq!(
        answer.headers()["x-amzn-bedrock-agentcore-runtime-session-id"],
        session_id("refused").as_str()
    );
    host.end().await;
}

#[tokio::test]
async fn an_open_socket_counts_as_in_flight_until_it_closes() {
    let host = serve().await;
    let session = session_id("counted");
    let socket = open(&host, &session, None).await.unwrap();
    let in_flight = async || {
        let request = axum::http::Request::get(format!("/_agentcore/v1/sessions/{session}"));
        let request = request.header("host", "localhost").body(axum::body::Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(host.router.clone(), request).await.unwrap();
        crate::support::Answer::of(answer).await.json()["in_flight"].as_u64().unwrap()
    };
    assert_eq!(in_flight().await, 1);
    drop(socket);
    eventually("it is counted out", async || in_flight().await == 0).await;
    host.end().await;
}

#[tokio::test]
async fn a_caller_whose_connection_breaks_ends_its_stream_at_the_agent() {
    let host = serve().await;
    let mut caller = host.connect().await;
    let payload = r#"{"do":"stream","items":1000}"#;
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{payload}",
        payload.len()
    );
    caller.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("data: 0") {
        assert_ne!(caller.read_buf(&mut read).await.unwrap(), 0);
    }
    drop(caller);
    let mind = host.behaviour.mind(&host.kind.agents()[0]);
    eventually("the agent learns of it", async || *mind.dropped_streams.lock().unwrap() == 1).await;
    host.end().await;
}

#[tokio::test]
async fn a_caller_whose_connection_breaks_does_not_end_a_plain_invocation() {
    let host = serve().await;
    let mut caller = host.connect().await;
    let payload = r#"{"do":"sleep","ms":400}"#;
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{payload}",
        payload.len()
    );
    caller.write_all(head.as_bytes()).await.unwrap();
    expect_invocation(&host).await;
    drop(caller);
    let mind = host.behaviour.mind(&host.kind.agents()[0]);
    eventually("it runs to its end", async || *mind.finished.lock().unwrap() == 1).await;
    host.end().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_reaches_its_caller_as_far_as_it_came() {
    let host = serve().await;
    let mut caller = host.connect().await;
    let request = b"POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    caller.write_all(request).await.unwrap();
    let mut whole = [0; 12];
    caller.read_exact(&mut whole).await.unwrap();
    assert_eq!(&whole, b"HTTP/1.1 200");
    // Head, part and end of the connection come together.
    *host.behaviour.raw.lock().unwrap() = Some(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"part\":");
    // By then no connection to the agent rests any more.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let mut caller = host.connect().await;
    caller.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = caller.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{\"part\":"), "{answer}");
    assert!(answer.contains("agentcore-invocation-id"), "{answer}");
    host.end().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_what_is_in_flight_and_takes_nothing_more() {
    let host = TestHost::start().await.serve();
    let mut caller = host.connect().await;
    let payload = r#"{"do":"sleep","ms":300}"#;
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{payload}",
        payload.len()
    );
    caller.write_all(head.as_bytes()).await.unwrap();
    expect_invocation(&host).await;
    let kind = host.kind.clone();
    let mut answer = Vec::new();
    let ((), read) = tokio::join!(host.end(), caller.read_to_end(&mut answer));
    read.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains(r#"{"count":1}"#), "{answer}");
    assert_eq!(kind.running(), 1, "left to the next host");
}
