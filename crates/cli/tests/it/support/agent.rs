//! An agent for tests: this very test binary, asked to run one test that serves.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedrock_agentcore::{App, Body, Response, Tasks};
use futures_util::stream;
use serde_json::{Value, json};

/// The test that serves when it is run as an agent.
pub(crate) const TEST_NAME: &str = "support::agent::serves_when_it_is_run_as_an_agent";
/// The socket at which marks are taken, in their folder.
pub(crate) const MARKS: &str = "sock";
/// Set where it is to serve.
const ROLE: &str = "RUN_AS_TEST_AGENT";

/// A program that becomes the agent.
pub(crate) fn script() -> String {
    become_agent("serve")
}

/// A program that becomes an agent which binds PORT and answers invocations with these bytes, and
/// no more.
pub(crate) fn raw_script(answer: &str) -> String {
    become_agent(&format!("'raw:{answer}'"))
}

/// A program that becomes an agent which answers invocations with the lines of their heads, in lower case.
pub(crate) fn heads_script() -> String {
    become_agent("heads")
}

/// A program that becomes an agent which streams a first item, and a second one once there is such a file.
pub(crate) fn drip_script(until: &Path) -> String {
    become_agent(&format!("'drip:{}'", until.display()))
}

fn become_agent(role: &str) -> String {
    let binary = std::env::current_exe().unwrap();
    format!("#!/bin/sh\n{ROLE}={role} exec {} --exact {TEST_NAME} --nocapture\n", binary.display())
}

/// Counts its invocations, and does what the payload says: `work` in the background until there
/// is such a file, `fail` with a message, `exit` with a code, `flood` the log with so many bytes,
/// `eat` so many bytes of memory, `mark` a file with a line, sleep for `sleep_ms`, `hang`, `send` a request
/// `to` an address, `read` a file, `stream` so many items with its `token`, work on a task for `task_ms`.
#[test]
fn serves_when_it_is_run_as_an_agent() {
    let Ok(role) = std::env::var(ROLE) else { return };
    if let Some(answer) = role.strip_prefix("raw:") {
        let answer = answer.replace("\\n", "\r\n");
        return serve_raw(|_, connection| connection.write_all(answer.as_bytes()));
    }
    if let Some(file) = role.strip_prefix("drip:") {
        return serve_raw(|_, connection| drip(connection, Path::new(file)));
    }
    if role == "heads" {
        return serve_raw(|head, connection| {
            let lines = json!(head.to_lowercase().lines().collect::<Vec<_>>()).to_string();
            let length = lines.len();
            write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{lines}")
        });
    }
    let count = Arc::new(AtomicU64::new(0));
    let handler = move |payload: Value, tasks: Tasks| {
        let count = Arc::clone(&count);
        async move {
            if payload["hang"] == true {
                std::future::pending::<()>().await;
            }
            if let Some(file) = payload["mark"].as_str() {
                mark(Path::new(file)).unwrap();
            }
            if let Some(millis) = payload["sleep_ms"].as_u64() {
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            if let Some(items) = payload["stream"].as_u64() {
                return Ok(items_with(payload["token"].clone(), items));
            }
            let answer = answer(&payload, &tasks, count.fetch_add(1, Ordering::SeqCst) + 1);
            answer.map(as_json).map_err(std::io::Error::other)
        }
    };
    App::new().grace(Duration::from_millis(100)).entrypoint(handler).run().unwrap();
}

fn as_json(answer: Value) -> Response {
    let mut response = Response::new(Body::from(answer.to_string()));
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

/// So many events, one every few milliseconds.
fn items_with(token: Value, items: u64) -> Response {
    let events = stream::unfold(0, move |number| {
        let event = format!("data: {}\n\n", item(&token, number));
        async move {
            tokio::time::sleep(Duration::from_millis(4)).await;
            (number < items).then_some((Ok::<_, std::io::Error>(event), number + 1))
        }
    });
    let mut response = Response::new(Body::from_stream(events));
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    response
}

/// What the agent streams.
pub(crate) fn item(token: &Value, number: u64) -> String {
    json!({ "number": number, "token": token }).to_string()
}

/// Has a mark left at `file`, by whoever listens beside it.
fn mark(file: &Path) -> std::io::Result<()> {
    let mut listener = UnixStream::connect(file.with_file_name(MARKS))?;
    listener.write_all(file.file_name().unwrap_or_default().as_encoded_bytes())?;
    listener.shutdown(std::net::Shutdown::Write)?;
    listener.read_exact(&mut [0])
}

/// A server without a library: pings are fine, invocations are answered by hand.
fn serve_raw(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()>) {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for mut connection in listener.incoming().filter_map(Result::ok) {
        let mut head = [0; 4096];
        let read = connection.read(&mut head).unwrap_or(0);
        let head = String::from_utf8_lossy(&head[..read]);
        let healthy =
            "HTTP/1.1 200 OK\r\ncontent-length: 20\r\nconnection: close\r\n\r\n{\"status\":\"Healthy\"}";
        let _ = match head.starts_with("GET /ping") {
            true => connection.write_all(healthy.as_bytes()),
            false => answer(&head, &mut connection),
        };
    }
}

/// Nothing else is served meanwhile.
#[expect(clippy::disallowed_methods, reason = "it is a process of its own, and waits for another")]
fn drip(connection: &mut TcpStream, until: &Path) -> std::io::Result<()> {
    write!(connection, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")?;
    while !until.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    write!(connection, "data: 2\n\n")
}

fn answer(payload: &Value, tasks: &Tasks, count: u64) -> Result<Value, String> {
    println!("invocation {count}: {:.200}", payload.to_string());
    if let Some(bytes) = payload["flood"].as_u64() {
        let line = "x".repeat(1023);
        (0..bytes / 1024).for_each(|_| println!("{line}"));
    }
    if let Some(bytes) = payload["eat"].as_u64() {
        let eaten = vec![1u8; usize::try_from(bytes).unwrap()];
        println!("{}", std::hint::black_box(&eaten).len());
    }
    if let Some(code) = payload["exit"].as_i64() {
        std::process::exit(i32::try_from(code).unwrap_or(1));
    }
    if let Some(message) = payload["fail"].as_str() {
        return Err(message.to_owned());
    }
    if let Some(file) = payload["work"].as_str().map(PathBuf::from) {
        let work = async move {
            while !file.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        drop(tasks.task("work").spawn(move |_| work));
    }
    let task = payload["task_ms"].as_u64().map(|millis| {
        let token = payload["token"].clone();
        let work = async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            token
        };
        tasks.task("job").spawn(move |_| work).id()
    });
    let tried = super::inside::attempt(payload);
    let pid = std::process::id();
    Ok(json!({ "count": count, "pid": pid, "payload": payload, "tried": tried, "task_id": task }))
}
