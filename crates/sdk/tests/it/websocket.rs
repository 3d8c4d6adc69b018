//! The WebSocket at `/ws`.

use std::io;

use bedrock_agentcore::{App, Message, RequestContext, WebSocket};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message as Sent};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{SESSION, Server, soon};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(server: &Server) -> Socket {
    soon(connect_async(format!("ws://{}/ws", server.address))).await.expect("accepted").0
}

async fn next(socket: &mut Socket) -> Sent {
    soon(socket.next()).await.expect("a message").expect("no error")
}

/// The code that the connection is closed with, whatever comes before.
async fn close_code(socket: &mut Socket) -> u16 {
    loop {
        if let Sent::Close(frame) = next(socket).await {
            return frame.expect("a code").code.into();
        }
    }
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Text(text) if text.as_str() == "enough" => return,
            Message::Text(_) | Message::Binary(_) => socket.send(message).await.unwrap(),
            _ => {}
        }
    }
}

#[tokio::test]
async fn text_and_binary_go_both_ways_and_the_end_is_1000() {
    let server = Server::start(App::new().websocket(echo)).await;
    let mut socket = connect(&server).await;
    for message in [Sent::text("héllo"), Sent::binary(vec![0, 159, 255]), Sent::text("")] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(next(&mut socket).await, message);
    }
    socket.send(Sent::Ping("p".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Sent::Pong("p".into()));
    socket.send(Sent::text("enough")).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 1000);
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn a_frame_may_be_as_large_as_a_payload() {
    let app = App::new().websocket(async |mut socket: WebSocket| {
        let message = socket.recv().await.unwrap().unwrap();
        socket.send(message.into_data().len().to_string()).await.unwrap();
    });
    let server = Server::start(app).await;
    let mut socket = connect(&server).await;
    // More than the library's own bound of 16 MiB.
    soon(socket.send(Sent::binary(vec![0; 17 << 20]))).await.unwrap();
    assert_eq!(next(&mut socket).await, Sent::text((17 << 20).to_string()));
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn a_handler_that_fails_or_panics_closes_with_1011() {
    let app = App::new().websocket(async |mut socket: WebSocket| -> io::Result<()> {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) if text.as_str() == "panic" => panic!("as asked"),
            _ => Err(io::Error::other("as asked")),
        }
    });
    let server = Server::start(app).await;
    for how in ["panic", "fail"] {
        let mut socket = connect(&server).await;
        socket.send(Sent::text(how)).await.unwrap();
        assert_eq!(close_code(&mut socket).await, 1011, "{how}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_still_sending_sees_the_code_all_the_same() {
    let app = App::new().websocket(async |_: WebSocket| Err::<(), _>("at once"));
    let server = Server::start(app).await;
    let (mut sink, stream) = connect(&server).await.split();
    let sending = tokio::spawn(async move {
        let chunk = Sent::binary(vec![0; 64 << 10]);
        while sink.send(chunk.clone()).await.is_ok() {}
    });
    let codes = stream.filter_map(async |message| match message {
        Ok(Sent::Close(frame)) => frame.map(|frame| u16::from(frame.code)),
        _ => None,
    });
    assert_eq!(soon(codes.collect::<Vec<_>>()).await, [1011]);
    soon(sending).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_handlers_receiving() {
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let app = App::new().websocket(move |mut socket: WebSocket| {
        let said = said.clone();
        async move {
            while let Some(Ok(_)) = socket.recv().await {}
            said.send("gone").unwrap();
        }
    });
    let server = Server::start(app).await;
    drop(connect(&server).await);
    assert_eq!(soon(heard.recv()).await, Some("gone"));
    server.stop().await;
}

#[tokio::test]
async fn the_handler_gets_the_requests_context() {
    let app = App::new().websocket(async |mut socket: WebSocket, context: RequestContext| {
        socket.send(context.session_id().unwrap_or("none")).await
    });
    let server = Server::start(app).await;
    let mut request = format!("ws://{}/ws", server.address).into_client_request().unwrap();
    let name = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id";
    request.headers_mut().insert(name, SESSION.parse().unwrap());
    let mut socket = soon(connect_async(request)).await.unwrap().0;
    assert_eq!(next(&mut socket).await, Sent::text(SESSION));
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn without_a_handler_it_is_403_with_an_empty_body() {
    let server = Server::start(App::new()).await;
    let refused = soon(connect_async(format!("ws://{}/ws", server.address))).await;
    let Err(tungstenite::Error::Http(response)) = refused else { panic!("{refused:?}") };
    assert_eq!(response.status(), 403);
    let answer = server.client().await.get("/ws").await;
    assert_eq!((answer.status(), answer.body.as_str()), (403, ""));
    server.stop().await;
}

#[tokio::test]
async fn a_plain_get_is_told_that_this_is_a_websocket() {
    let server = Server::start(App::new().websocket(echo)).await;
    let answer = server.client().await.get("/ws").await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.body, "Connection header did not include 'upgrade'");
    server.stop().await;
}
