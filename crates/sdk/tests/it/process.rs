//! A real agent in a process of its own: its sockets, its signals, its log, its exit.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::support::{Client, SESSION, soon};

/// The example that this package's tests are built along with.
fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("this test's own path");
    let program = tests.ancestors().nth(2).expect("target/<profile>").join("examples/tiny_agent");
    assert!(program.exists(), "build it first: cargo build -p bedrock-agentcore --example tiny_agent");
    program
}

/// A command that inherits nothing of what agents look at.
fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for inherited in ["RUST_LOG", "AGENTCORE_JOURNAL_DIR", "LISTEN_FDS", "LISTEN_PID", "PORT"] {
        command.env_remove(inherited);
    }
    command
}

struct Agent {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Agent {
    fn start(command: &mut Command) -> Self {
        command.stderr(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("the agent starts");
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, log }
    }

    /// An agent on a port of the system's choice.
    async fn on_a_port(configure: impl FnOnce(&mut Command)) -> (Self, SocketAddr) {
        let mut command = command(program());
        configure(command.env("PORT", "0"));
        let mut agent = Self::start(&mut command);
        let line = agent.line("serving on ").await;
        let address = line["message"].as_str().unwrap().trim_start_matches("serving on http://");
        let address = address.parse().unwrap();
        (agent, address)
    }

    /// The next log line whose message begins so. Every line on the way is JSON.
    async fn line(&mut self, message: &str) -> Value {
        loop {
            let line = soon(self.log.next_line()).await.unwrap().expect("the log goes on");
            let line: Value = serde_json::from_str(&line).expect(&line);
            if line["message"].as_str().is_some_and(|text| text.starts_with(message)) {
                return line;
            }
        }
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let killed = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status();
        assert!(soon(killed).await.unwrap().success());
    }

    async fn exit(mut self) -> ExitStatus {
        soon(self.child.wait()).await.unwrap()
    }
}

#[tokio::test]
async fn sigterm_tells_tasks_waits_for_them_and_exits_with_0() {
    let (mut agent, address) = Agent::on_a_port(|_| {}).await;
    let mut client = Client::connect(address).await;
    assert!(client.invoke(r#"{"action":"work"}"#).await.body.starts_with("{\"task_id\":"));
    assert!(client.get("/ping").await.body.contains("HealthyBusy"));
    agent.signal("TERM").await;
    agent.line("the work was told to stop").await;
    assert_eq!(agent.exit().await.code(), Some(0));
}

#[tokio::test]
async fn ctrl_c_does_the_same() {
    let (agent, address) = Agent::on_a_port(|_| {}).await;
    Client::connect(address).await.get("/ping").await;
    agent.signal("INT").await;
    assert_eq!(agent.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let (mut agent, address) = Agent::on_a_port(|_| {}).await;
    let mut client = Client::connect(address).await;
    client.get("/ping").await;
    client.ask(r#"{"action":"hang"}"#).await;
    Client::connect(address).await.get("/ping").await;
    agent.signal("TERM").await;
    agent.line("stopping: ").await;
    agent.signal("TERM").await;
    assert_eq!(agent.exit().await.code(), Some(130));
}

#[tokio::test]
async fn an_async_task_within_ones_own_tasks_counts_for_the_app_that_is_served() {
    let (_agent, address) = Agent::on_a_port(|_| {}).await;
    let mut client = Client::connect(address).await;
    assert_eq!(client.invoke(r#"{"action":"nested"}"#).await.body, "\"started\"");
    assert!(client.get("/ping").await.body.contains("HealthyBusy"));
}

#[tokio::test]
async fn a_log_line_has_the_requests_ids_and_its_trace() {
    let (mut agent, address) = Agent::on_a_port(|_| {}).await;
    let payload = r#"{"action":"log"}"#;
    let mut client = Client::connect(address).await;
    client
        .send(format!(
            "POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\
             x-amzn-bedrock-agentcore-runtime-session-id: {SESSION}\r\n\
             x-amzn-bedrock-agentcore-runtime-request-id: request-1\r\n\
             traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
             tracestate: vendor=1\r\n\r\n{payload}",
            payload.len()
        ))
        .await;
    assert_eq!(client.answer().await.body, "\"logged\"");
    let mut line: BTreeMap<String, Value> =
        serde_json::from_value(agent.line("a line of the handler's own").await).unwrap();
    let timestamp = line.remove("timestamp").unwrap();
    let timestamp = timestamp.as_str().unwrap();
    assert!(timestamp.len() == 24 && timestamp.ends_with('Z'), "{timestamp}");
    let expected = json!({
        "level": "INFO",
        "message": "a line of the handler's own",
        "logger": "tiny_agent",
        "rows": 3,
        "requestId": "request-1",
        "sessionId": SESSION,
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "traceParentId": "00f067aa0ba902b7",
        "traceFlags": 1,
        "traceState": "vendor=1",
    });
    assert_eq!(serde_json::to_value(line).unwrap(), expected);

    client.invoke("nonsense").await;
    let refused = agent.line("an invocation was refused").await;
    assert_eq!(refused["level"], "WARN");
    assert!(refused["requestId"].is_string(), "{refused}");
}

#[tokio::test]
async fn a_socket_that_is_handed_over_comes_before_the_port() {
    // systemd's protocol: the socket is descriptor 3, and meant for this process.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut command = command("sh");
    command.args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" 3<&0 </dev/null"]).arg(program());
    command.env("PORT", "1").stdin(Stdio::from(OwnedFd::from(listener)));
    let agent = Agent::start(&mut command);
    let answer = Client::connect(address).await.invoke(r#"{"action":"pid"}"#).await;
    assert_eq!(answer.body, agent.child.id().unwrap().to_string());
    agent.signal("TERM").await;
    assert_eq!(agent.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_unix_socket_can_be_handed_over_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut command = command("sh");
    command.args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" 3<&0 </dev/null"]).arg(program());
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let _agent = Agent::start(&mut command);
    let mut client = Client::over(tokio::net::UnixStream::connect(&path).await.unwrap());
    assert_eq!(client.get("/ping").await.status(), 200);
}

#[tokio::test]
async fn a_socket_that_is_meant_for_another_process_is_left_alone() {
    let (_agent, address) = Agent::on_a_port(|command| {
        command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    })
    .await;
    assert_eq!(Client::connect(address).await.get("/ping").await.status(), 200);
}

#[tokio::test]
async fn a_descriptor_that_is_no_socket_is_told() {
    let mut command = command("sh");
    command.args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" 3</dev/null"]).arg(program());
    assert_eq!(
        failure(&mut command).await,
        "Error: the socket handed over through LISTEN_FDS cannot be used: fd 3 is not a socket\n"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_or_none_is_told_in_one_line() {
    // Taken on every address: within a container the agent would bind them all.
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = failure(command(program()).env("PORT", &port)).await;
    assert!(error.starts_with("Error: cannot listen on "), "{error}");
    assert!(error.contains(&format!(":{port}: Address already in use (os error 98); choose another port")));
    let error = failure(command(program()).env("PORT", "http")).await;
    assert_eq!(
        error,
        "Error: the environment variable PORT is \"http\": expected a number from 0 to 65535\n"
    );
}

async fn failure(command: &mut Command) -> String {
    let output = soon(command.output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn the_hosts_folder_gets_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (agent, address) = Agent::on_a_port(|command| {
        command.env("AGENTCORE_JOURNAL_DIR", folder.path());
    })
    .await;
    Client::connect(address).await.invoke(r#"{"action":"work"}"#).await;
    agent.signal("TERM").await;
    agent.exit().await;
    let journal = std::fs::read_to_string(folder.path().join("tasks.jsonl")).unwrap();
    let events: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&events[0]["event"], &events[1]["event"]), (&json!("started"), &json!("completed")));
    assert_eq!(events[1]["result"], "saved");
}

#[tokio::test]
async fn a_host_that_keeps_the_journal_may_end_a_task() {
    let folder = tempfile::tempdir().unwrap();
    let (_agent, address) = Agent::on_a_port(|command| {
        command.env("AGENTCORE_JOURNAL_DIR", folder.path());
    })
    .await;
    let mut client = Client::connect(address).await;
    let started: Value = serde_json::from_str(&client.invoke(r#"{"action":"work"}"#).await.body).unwrap();
    let path = format!("/_agentcore/v1/tasks/{}/cancel", started["task_id"]);
    assert_eq!(client.get(&path).await.status(), 405);
    let accepted = client.post(&path).await;
    assert_eq!(accepted.status(), 202);
    assert_eq!(accepted.body, format!("{{\"task_id\":{}}}", started["task_id"]));

    let journal = folder.path().join("tasks.jsonl");
    let cancelled = async {
        while !std::fs::read_to_string(&journal).unwrap().contains(r#""event":"cancelled""#) {
            tokio::task::yield_now().await;
        }
    };
    soon(cancelled).await;
    assert_eq!(client.post(&path).await.status(), 409);
    assert_eq!(client.post("/_agentcore/v1/tasks/0/cancel").await.status(), 404);
}

#[tokio::test]
async fn without_a_host_there_is_no_such_path() {
    let (_agent, address) = Agent::on_a_port(|_| {}).await;
    let mut client = Client::connect(address).await;
    let started: Value = serde_json::from_str(&client.invoke(r#"{"action":"work"}"#).await.body).unwrap();
    let path = format!("/_agentcore/v1/tasks/{}/cancel", started["task_id"]);
    assert_eq!(client.post(&path).await.status(), 404);
}
