//! Clients that leave before they have their answer, over real sockets.

use std::sync::{Arc, Mutex};

use bedrock_agentcore::{App, Body, CancellationToken, Response, Tasks};
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::support::{Client, Server, TellsItsEnd, soon};

fn words() -> (UnboundedSender<&'static str>, UnboundedReceiver<&'static str>) {
    mpsc::unbounded_channel()
}

#[tokio::test]
async fn the_token_fires_when_a_client_leaves_and_the_handler_runs_on() {
    let (said, mut heard) = words();
    let app = App::new().entrypoint(move |_: Value, token: CancellationToken| {
        let said = said.clone();
        async move {
            said.send("begun").unwrap();
            token.cancelled().await;
            tokio::task::yield_now().await;
            said.send("finished what it began").unwrap();
        }
    });
    let server = Server::start(app).await;
    let mut client = server.client().await;
    client.ask("{}").await;
    assert_eq!(soon(heard.recv()).await, Some("begun"));
    drop(client);
    assert_eq!(soon(heard.recv()).await, Some("finished what it began"));
    server.stop().await;
}

#[tokio::test]
async fn a_blocking_handler_sees_the_token_fire() {
    let (said, mut heard) = words();
    let app = App::new().entrypoint_blocking(move |_: Value, token: CancellationToken| {
        said.send("begun").unwrap();
        while !token.is_cancelled() {
            std::thread::yield_now();
        }
        said.send("told").unwrap();
    });
    let server = Server::start(app).await;
    let mut client = server.client().await;
    client.ask("{}").await;
    assert_eq!(soon(heard.recv()).await, Some("begun"));
    drop(client);
    assert_eq!(soon(heard.recv()).await, Some("told"));
    server.stop().await;
}

#[tokio::test]
async fn a_handler_that_panics_after_its_client_left_harms_nobody() {
    let (said, mut heard) = words();
    let app = App::new().entrypoint(move |_: Value, token: CancellationToken| {
        let held = TellsItsEnd(said.clone());
        async move {
            let held = held;
            held.0.send("begun").unwrap();
            token.cancelled().await;
            assert!(!token.is_cancelled(), "nobody listens");
        }
    });
    let server = Server::start(app).await;
    let mut client = server.client().await;
    client.ask("{}").await;
    assert_eq!(soon(heard.recv()).await, Some("begun"));
    drop(client);
    assert_eq!(soon(heard.recv()).await, Some("dropped"));
    assert_eq!(server.client().await.get("/ping").await.status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn the_token_does_not_fire_when_the_answer_was_given() {
    let tokens = Arc::new(Mutex::new(Vec::<CancellationToken>::new()));
    let kept = Arc::clone(&tokens);
    let keep = move |token| kept.lock().unwrap().push(token);
    let app = App::new().entrypoint(move |payload: Value, token: CancellationToken| {
        keep(token);
        async move {
            assert!(payload != "panic", "as asked");
            stream::iter(payload.as_array().cloned().unwrap_or_default())
        }
    });
    let server = Server::start(app).await;
    let mut client = server.client().await;
    for payload in ["[]", "\"panic\"", "[1,2,3]"] {
        client.invoke(payload).await;
    }
    drop(client);
    server.stop().await;
    let tokens = tokens.lock().unwrap();
    assert_eq!(tokens.len(), 3);
    assert!(tokens.iter().all(|token| !token.is_cancelled()));
}

/// A stream that says "begun", and then nothing more, for as long as it lives.
fn endless(held: impl Send + 'static) -> impl Stream<Item = &'static str> + Send {
    stream::iter(["begun"]).chain(stream::pending()).map(move |item| {
        let _held = &held;
        item
    })
}

#[tokio::test]
async fn a_stream_is_dropped_and_the_token_fires_when_a_client_leaves_midway() {
    let (said, mut heard) = words();
    let app = App::new().entrypoint(move |_: Value, token: CancellationToken| {
        let said = said.clone();
        async move {
            let told = said.clone();
            tokio::spawn(async move {
                token.cancelled().await;
                told.send("told").unwrap();
            });
            endless(TellsItsEnd(said))
        }
    });
    let server = Server::start(app).await;
    let mut client = server.client().await;
    client.ask("{}").await;
    client.until("data: \"begun\"\n\n").await;
    drop(client);
    let mut both = [soon(heard.recv()).await.unwrap(), soon(heard.recv()).await.unwrap()];
    both.sort_unstable();
    assert_eq!(both, ["dropped", "told"]);
    server.stop().await;
}

#[tokio::test]
async fn the_token_fires_midway_through_a_handlers_own_streamed_response_too() {
    let (said, mut heard) = words();
    let app = App::new().entrypoint(move |_: Value, token: CancellationToken| {
        let said = said.clone();
        tokio::spawn(async move {
            token.cancelled().await;
            said.send("told").unwrap();
        });
        async {
            let begun = stream::iter([Ok::<_, std::io::Error>("begun")]);
            Response::new(Body::from_stream(begun.chain(stream::pending())))
        }
    });
    let server = Server::start(app).await;
    let mut client = server.client().await;
    client.ask("{}").await;
    client.until("begun").await;
    drop(client);
    assert_eq!(soon(heard.recv()).await, Some("told"));
    server.stop().await;
}

#[tokio::test]
async fn two_hundred_clients_that_leave_midway_leave_nothing_behind() {
    const CLIENTS: usize = 200;
    let (said, mut heard) = words();
    let app = App::new().entrypoint(move |_: Value, tasks: Tasks| {
        let held = (tasks.task("stream").start(), TellsItsEnd(said.clone()));
        async move { endless(held) }
    });
    let tasks = app.tasks();
    let server = Server::start(app).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(server.address).await;
        client.ask("{}").await;
        client.until("data: ").await;
        clients.push(client);
    }
    assert_eq!(tasks.active_count(), CLIENTS);
    drop(clients);
    for _ in 0..CLIENTS {
        assert_eq!(soon(heard.recv()).await, Some("dropped"));
    }
    assert_eq!(tasks.active_count(), 0);
    // Waits for every connection and every handler, for longer than this test does.
    server.stop().await;
}

#[tokio::test]
async fn two_hundred_clients_that_leave_their_handlers_leave_nothing_behind() {
    const CLIENTS: usize = 200;
    let (said, mut heard) = words();
    let app = App::new().entrypoint(move |_: Value, token: CancellationToken| {
        let held = TellsItsEnd(said.clone());
        async move {
            held.0.send("begun").unwrap();
            token.cancelled().await;
            drop(held);
        }
    });
    let server = Server::start(app).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(server.address).await;
        client.ask("{}").await;
        assert_eq!(soon(heard.recv()).await, Some("begun"));
        clients.push(client);
    }
    drop(clients);
    for _ in 0..CLIENTS {
        assert_eq!(soon(heard.recv()).await, Some("dropped"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_within_its_request_reaches_no_handler() {
    let app = App::new().entrypoint(async |_: Value| -> () { unreachable!("its payload never came") });
    let server = Server::start(app).await;
    let mut client = server.client().await;
    client.send("POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await;
    drop(client);
    assert_eq!(server.client().await.get("/ping").await.status(), 200);
    server.stop().await;
}
