//! Serving on a socket, and stopping.

use std::net::Ipv4Addr;
use std::time::Duration;

use bedrock_agentcore::{App, Tasks};
use futures_util::stream;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};

use crate::support::{Client, Server, soon};

/// An app whose handler says that it began, and ends once the gate is open.
fn gated() -> (App, mpsc::UnboundedReceiver<()>, watch::Sender<bool>) {
    let (begun, has_begun) = mpsc::unbounded_channel();
    let (open, gate) = watch::channel(false);
    let app = App::new().entrypoint(move |payload: Value| {
        let (begun, mut gate) = (begun.clone(), gate.clone());
        async move {
            begun.send(()).unwrap();
            gate.wait_for(|open| *open).await.unwrap();
            payload
        }
    });
    (app, has_begun, open)
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_nothing_new_is_taken() {
    let (app, mut has_begun, open) = gated();
    let server = Server::start(app).await;
    let address = server.address;
    let mut idle = server.client().await;
    idle.get("/ping").await;
    let mut client = server.client().await;
    client.ask("[1]").await;
    has_begun.recv().await.unwrap();
    let served = server.tell_to_stop();
    assert!(idle.is_closed().await, "an idle connection is closed at once");
    soon(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    open.send(true).unwrap();
    let answer = client.answer().await;
    assert_eq!(answer.body, "[1]");
    assert!(client.is_closed().await);
    soon(served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_in_flight_is_finished_too() {
    let (go, gate) = oneshot::channel::<()>();
    let gate = std::sync::Mutex::new(Some(gate));
    let app = App::new().entrypoint(move |_: Value| {
        let gate = gate.lock().unwrap().take().unwrap();
        async {
            stream::unfold(Some(gate), async |gate| {
                gate?.await.ok();
                Some(("last", None))
            })
        }
    });
    let server = Server::start(app).await;
    let mut client = server.client().await;
    client.ask("{}").await;
    client.until("\r\n\r\n").await;
    let served = server.tell_to_stop();
    go.send(()).unwrap();
    client.until("data: \"last\"\n\n").await;
    soon(served).await.unwrap().unwrap();
}

#[tokio::test]
async fn tasks_are_told_and_waited_for() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = App::new().entrypoint(move |_: Value, tasks: Tasks| {
        let said = said.clone();
        tasks.task("t").spawn(async move |task| {
            task.cancelled().await;
            said.send(task.is_cancelled()).unwrap();
            "saved"
        });
        async {}
    });
    let tasks = app.tasks();
    let server = Server::start(app).await;
    server.client().await.invoke("{}").await;
    server.stop().await;
    assert_eq!(heard.recv().await, Some(true));
    let record = tasks.finished().pop().unwrap();
    assert_eq!(record.result.unwrap().get(), "\"saved\"", "it ended by itself: nobody cancelled it");
}

#[tokio::test]
async fn the_grace_period_ends_the_wait() {
    let (app, mut has_begun, _open) = gated();
    let app = app.grace(Duration::from_millis(20));
    let stuck = app.add_async_task("never completed", ());
    let tasks = app.tasks();
    let server = Server::start(app).await;
    let mut client = server.client().await;
    client.ask("{}").await;
    has_begun.recv().await.unwrap();
    server.stop().await;
    assert!(tasks.complete_async_task(stuck), "it is left behind, not lost");
}

#[tokio::test]
async fn a_connection_that_never_speaks_does_not_hold_up_the_stop() {
    let server = Server::start(App::new()).await;
    let mut silent = server.client().await;
    server.client().await.get("/ping").await;
    server.stop().await;
    assert!(silent.is_closed().await);
}

#[tokio::test]
async fn the_port_is_free_again_once_the_server_has_stopped() {
    let server = Server::start(App::new()).await;
    let address = server.address;
    server.client().await.get("/ping").await;
    server.stop().await;
    soon(async {
        while TcpListener::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_whose_future_is_dropped_stops_listening() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(App::new().serve_on(listener, std::future::pending::<()>()));
    let mut client = Client::connect(address).await;
    client.get("/ping").await;
    served.abort();
    assert!(client.is_closed().await);
    soon(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let (stop, stopped) = oneshot::channel::<()>();
    let app = App::new().entrypoint(async |payload: Value| payload);
    let served = tokio::spawn(app.serve_on(UnixListener::bind(&path).unwrap(), stopped));
    let mut client = Client::over(soon(UnixStream::connect(&path)).await.unwrap());
    assert_eq!(client.invoke("[1]").await.body, "[1]");
    assert_eq!(client.get("/ping").await.status(), 200);
    stop.send(()).unwrap();
    soon(served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = App::new().host(Ipv4Addr::LOCALHOST).port(port).serve().await.unwrap_err();
    let expected = format!(
        "cannot listen on 127.0.0.1:{port}: Address already in use (os error 98); choose another port with `.port(...)` or the environment variable PORT"
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(format!("{error:?}"), expected, "which is how `main` reports it");
}
