//! Agents that bind a TCP port instead of serving the handed-over socket.

use agentcore_sandbox::{Sandbox, SandboxSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bench::{Bench, LIMIT, Processes, ask, kill, log, until_logged};

// Sends back what it gets, while it gets it, and ends when the other side does.
const ECHO: &str = "
import os, socket, threading
def echo(connection):
    while True:
        data = connection.recv(65536)
        if not data: break
        connection.sendall(data)
    connection.close()
    print('closed', flush=True)
door = socket.create_server((HOST, int(os.environ['PORT'])), family=FAMILY)
print('listening', os.environ['PORT'], flush=True)
while True:
    connection, _ = door.accept()
    threading.Thread(target=echo, args=(connection,), daemon=True).start()
";

fn echo(bench: &Processes) -> SandboxSpec {
    bench.python(&ECHO.replace("HOST", "'127.0.0.1'").replace("FAMILY", "socket.AF_INET"))
}

async fn exchange(sandbox: &dyn Sandbox, sent: Vec<u8>) -> Vec<u8> {
    let io = sandbox.connect().await.unwrap();
    let (mut read, mut write) = tokio::io::split(io);
    let mut received = Vec::new();
    let send = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let receive = read.read_to_end(&mut received);
    let both = tokio::time::timeout(LIMIT, async { tokio::join!(send, receive) });
    both.await.unwrap().1.unwrap();
    received
}

#[tokio::test]
async fn the_first_connection_waits_until_the_agent_listens() {
    let bench = Processes::new();
    let sandbox = bench.run(&echo(&bench)).await;
    // Most likely the interpreter is not even up.
    assert_eq!(exchange(&*sandbox, b"early".into()).await, b"early");
    kill(&*sandbox).await;
}

#[tokio::test]
async fn both_directions_flow_at_once() {
    let bench = Processes::new();
    let sandbox = bench.run(&echo(&bench)).await;
    // Much more than all the buffers on the way: it must come back while it is still being sent.
    let sent: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
    assert!(exchange(&*sandbox, sent.clone()).await == sent);
    kill(&*sandbox).await;
}

#[tokio::test]
async fn many_connections_at_once() {
    let bench = Processes::new();
    let sandbox = bench.run(&echo(&bench)).await;
    let exchanges = (0..100_u32).map(|number| exchange(&*sandbox, vec![number as u8; 50_000]));
    for (number, received) in futures_util::future::join_all(exchanges).await.into_iter().enumerate() {
        assert_eq!(received, vec![number as u8; 50_000]);
    }
    kill(&*sandbox).await;
}

#[tokio::test]
async fn an_agent_learns_that_its_client_has_left() {
    let bench = Processes::new();
    let sandbox = bench.run(&echo(&bench)).await;
    let mut io = sandbox.connect().await.unwrap();
    io.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    io.read_exact(&mut back).await.unwrap();
    drop(io);
    until_logged(&*sandbox, "closed").await;
    kill(&*sandbox).await;
}

#[tokio::test]
async fn ipv6_will_do() {
    let bench = Processes::new();
    let sandbox =
        bench.run(&bench.python(&ECHO.replace("HOST", "'::1'").replace("FAMILY", "socket.AF_INET6"))).await;
    assert_eq!(exchange(&*sandbox, b"six".into()).await, b"six");
    kill(&*sandbox).await;
}

#[tokio::test]
async fn sessions_have_ports_of_their_own() {
    let bench = Processes::new();
    let mut sandboxes = Vec::new();
    for _ in 0..5 {
        sandboxes.push(bench.run(&echo(&bench)).await);
    }
    let mut ports = Vec::new();
    for sandbox in &sandboxes {
        assert_eq!(exchange(&**sandbox, b"x".into()).await, b"x");
        ports.push(log(&**sandbox).lines().next().unwrap().to_owned());
    }
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 5);
    for sandbox in &sandboxes {
        kill(&**sandbox).await;
    }
}

#[tokio::test]
async fn an_agent_that_takes_its_time_over_the_socket_is_left_to_it() {
    let bench = Processes::new();
    let script = "
import socket, time
time.sleep(0.2)
door = socket.socket(fileno=3)
while True:
    connection, _ = door.accept()
    connection.sendall(b'mine ' + connection.recv(100))
    connection.close()
";
    let sandbox = bench.run(&bench.python(script)).await;
    for word in ["one", "two", "three"] {
        assert_eq!(ask(&*sandbox, word).await, format!("mine {word}"));
    }
    kill(&*sandbox).await;
}
