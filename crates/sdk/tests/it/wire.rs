//! What only the wire shows.

use bedrock_agentcore::{App, CancellationToken};
use serde_json::Value;

use crate::support::{Client, Server};

async fn echo(payload: Value) -> Value {
    payload
}

/// One byte more than AWS takes, and then some.
const TOO_MUCH: usize = 101_000_000;
const CHUNK: usize = 1 << 20;

async fn send_too_much(client: &mut Client, chunked: bool) {
    let zeros = vec![b'0'; CHUNK];
    let mut left = TOO_MUCH;
    while left > 0 {
        let size = left.min(CHUNK);
        if chunked {
            client.send(format!("{size:x}\r\n")).await;
        }
        client.send(&zeros[..size]).await;
        if chunked {
            client.send("\r\n").await;
        }
        left -= size;
    }
    if chunked {
        client.send("0\r\n\r\n").await;
    }
}

const TOO_LARGE: &str = r#"{"error":"Payload too large","details":"a payload has at most 100000000 bytes: send less, or send a reference to it"}"#;

#[tokio::test]
async fn a_client_that_sends_101_mb_before_it_looks_gets_its_413() {
    let server = Server::start(App::new().entrypoint(echo)).await;
    for chunked in [false, true] {
        let mut client = server.client().await;
        let framing = match chunked {
            true => "transfer-encoding: chunked".to_owned(),
            false => format!("content-length: {TOO_MUCH}"),
        };
        client.send(format!("POST /invocations HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n")).await;
        send_too_much(&mut client, chunked).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.body.as_str()), (413, TOO_LARGE));
        assert_eq!(client.get("/ping").await.status(), 200, "the connection goes on");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_101_mb_is_told_not_to() {
    let server = Server::start(App::new().entrypoint(echo)).await;
    let mut client = server.client().await;
    client
        .send(format!(
            "POST /invocations HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {TOO_MUCH}\r\n\r\n"
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.body.as_str()), (413, TOO_LARGE));
    assert!(client.is_closed().await, "else the next request would be taken for the body");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_a_little_is_told_to_go_on() {
    let server = Server::start(App::new().entrypoint(echo)).await;
    let mut client = server.client().await;
    client
        .send("POST /invocations HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        .await;
    assert_eq!(client.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("[]").await;
    assert_eq!(client.answer().await.body, "[]");
    server.stop().await;
}

#[tokio::test]
async fn head_ping_is_200_without_a_body() {
    let server = Server::start(App::new()).await;
    let mut client = server.client().await;
    client.send("HEAD /ping HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(client.get("/ping").await.body.starts_with("{\"status\":"), "the body was left out");
    server.stop().await;
}

#[tokio::test]
async fn an_answer_has_its_length_and_the_documented_head() {
    let server = Server::start(App::new().entrypoint(echo)).await;
    let mut client = server.client().await;
    let answer = client.invoke(r#"{"a": "é"}"#).await;
    assert_eq!(answer.body, r#"{"a":"é"}"#);
    assert_eq!((answer.header("content-type"), answer.header("content-length")), ("application/json", "10"));
    let answer = client.get("/nowhere").await;
    assert_eq!((answer.status(), answer.body.as_str()), (404, "Not Found"));
    let answer = client.get("/invocations").await;
    assert_eq!((answer.status(), answer.header("allow")), (405, "POST"));
    let answer = client.invoke("").await;
    assert_eq!(answer.status(), 400);
    assert!(answer.body.starts_with(r#"{"error":"Invalid JSON""#));
    server.stop().await;
}

#[tokio::test]
async fn requests_that_are_sent_ahead_are_answered_in_their_order() {
    let server = Server::start(App::new().entrypoint(echo)).await;
    let mut client = server.client().await;
    client.ask("1").await;
    client.ask("nope").await;
    client.send("GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.ask("[2]").await;
    let answers =
        [client.answer().await, client.answer().await, client.answer().await, client.answer().await];
    assert_eq!(answers.each_ref().map(|answer| answer.status()), [200, 400, 200, 200]);
    assert_eq!((answers[0].body.as_str(), answers[3].body.as_str()), ("1", "[2]"));
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_is_sent_ahead_does_not_fire_the_token_of_the_one_before() {
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let (go, gate) = tokio::sync::watch::channel(false);
    let app = App::new().entrypoint(move |n: u8, token: CancellationToken| {
        let (begun, mut gate) = (begun.clone(), gate.clone());
        async move {
            begun.send(n).unwrap();
            gate.wait_for(|open| *open).await.unwrap();
            (n, token.is_cancelled())
        }
    });
    let server = Server::start(app).await;
    let mut client = server.client().await;
    client.ask("1").await;
    assert_eq!(has_begun.recv().await, Some(1));
    client.ask("2").await;
    // The server has seen the second request once it answers another client's.
    server.client().await.get("/ping").await;
    go.send(true).unwrap();
    assert_eq!(client.answer().await.body, "[1,false]");
    assert_eq!(client.answer().await.body, "[2,false]");
    server.stop().await;
}

#[tokio::test]
async fn http_1_0_gets_its_answer_and_the_end_of_the_connection() {
    let server = Server::start(App::new().entrypoint(echo)).await;
    let mut client = server.client().await;
    client.send("POST /invocations HTTP/1.0\r\ncontent-length: 3\r\n\r\n[1]").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, "[1]"));
    assert!(client.is_closed().await);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_comes_in_chunks_with_its_content_type() {
    let app = App::new().entrypoint(async |n: u8| futures_util::stream::iter(0..n));
    let server = Server::start(app).await;
    let mut client = server.client().await;
    let answer = client.invoke("2").await;
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(answer.body, "data: 0\n\ndata: 1\n\n");
    let empty = client.invoke("0").await;
    assert_eq!((empty.status(), empty.body.as_str()), (200, ""));
    server.stop().await;
}
