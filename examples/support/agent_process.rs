//! An agent's real binary, started for a test and driven over HTTP as curl does.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(8);

/// A running agent. It is killed when this is dropped.
pub(crate) struct AgentProcess {
    child: Child,
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl AgentProcess {
    /// Starts `program` on a port that is free, and waits until it serves.
    pub(crate) async fn start(program: &str, environment: &[(&str, &OsStr)]) -> Self {
        let mut child = Command::new(program)
            .env("PORT", "0")
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let base = timeout(PATIENCE, served_at(&mut log)).await.expect("the agent begins to serve in time");
        // Read on, lest the agent block on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self { child, base, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// `curl http://localhost:8080/ping`: the status.
    pub(crate) async fn ping(&self) -> String {
        let (status, answer) = self.send(Method::GET, "/ping", String::new()).await;
        assert_eq!(status, StatusCode::OK);
        answer["status"].as_str().unwrap().to_owned()
    }

    /// `curl -X POST http://localhost:8080/invocations -d '<payload>'`: the answer, which is a 200.
    pub(crate) async fn invoke(&self, payload: Value) -> Value {
        let (status, answer) = self.try_invoke(payload).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    /// The same, whatever the status.
    pub(crate) async fn try_invoke(&self, payload: Value) -> (StatusCode, Value) {
        self.send(Method::POST, "/invocations", payload.to_string()).await
    }

    /// Pings until the status is `wanted`.
    pub(crate) async fn until_ping_says(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.ping().await != wanted {
            assert!(Instant::now() < deadline, "the agent is not {wanted} in time");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks the agent to stop, as a platform does, and waits until it has.
    pub(crate) async fn stop(mut self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        let exit = timeout(PATIENCE, self.child.wait()).await.expect("the agent stops in time").unwrap();
        assert!(exit.success(), "{exit}");
    }

    async fn send(&self, method: Method, path: &str, body: String) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = request.header("Content-Type", "application/json").body(Full::from(body)).unwrap();
        let response =
            timeout(PATIENCE, self.client.request(request)).await.expect("an answer in time").unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

/// Reads the log up to the line that says where the agent serves.
async fn served_at(log: &mut Lines<BufReader<ChildStderr>>) -> String {
    while let Some(line) = log.next_line().await.unwrap() {
        if let Some((_, rest)) = line.split_once("serving on http://") {
            let address: String = rest.chars().take_while(|c| !matches!(c, '"' | ' ')).collect();
            return format!("http://{}", address.replace("0.0.0.0", "127.0.0.1"));
        }
    }
    panic!("the agent ended before it served");
}
