//! A host on a folder of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::headers::SESSION_ID;
use agentcore_protocol::lifecycle::{LifecycleBounds, LifecycleConfiguration};
use agentcore_protocol::{Clock, Timestamp};
use agentcore_runtime::{AgentDefinition, Host, HostError, HostOptions, OnShutdown};
use agentcore_sandbox::InMemoryKind;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::ServiceExt;

use super::{Behaviour, agent_kind};

/// Calendar time that follows tokio's clock, which tests pause.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(1_700_000_000_000 + self.0.elapsed().as_millis() as u64)
    }
}

/// A host, its agents and its folder. End it with [`TestHost::end`], which checks what is left.
pub(crate) struct TestHost {
    pub(crate) host: Host,
    pub(crate) kind: InMemoryKind,
    pub(crate) behaviour: Arc<Behaviour>,
    pub(crate) folder: Arc<TempDir>,
    pub(crate) options: HostOptions,
    clock: Arc<dyn Clock>,
}

/// A host that serves on its socket.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    pub(crate) router: Router,
    pub(crate) kind: InMemoryKind,
    pub(crate) behaviour: Arc<Behaviour>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), HostError>>,
    _folder: Arc<TempDir>,
}

impl Serving {
    /// A connection to it.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Shuts it down as its options say.
    pub(crate) async fn end(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
        assert!(TcpStream::connect(self.address).await.is_err(), "the port is left");
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.into()).unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn is_new_session(&self) -> bool {
        self.headers.get("agentcore-session-new").is_some_and(|value| value == "true")
    }
}

/// A session id that is long enough.
pub(crate) fn session_id(name: &str) -> String {
    format!("{name:-<40}")
}

impl TestHost {
    /// A host with one agent, `tester`, with an idle timeout of 60 s and a life of an hour.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut HostOptions)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut options = HostOptions::new(folder.path());
        options.listen = "127.0.0.1:0".parse().unwrap();
        let mut tester = AgentDefinition::new("tester", "/bin/tester", "/");
        tester.lifecycle =
            LifecycleConfiguration { idle_runtime_session_timeout: Some(60), max_lifetime: Some(3_600) }
                .resolve(LifecycleBounds::LOCAL)
                .unwrap();
        options.agents.push(tester);
        change(&mut options);
        let clock: Arc<dyn Clock> = Arc::new(TokioClock(Instant::now()));
        let behaviour = Arc::<Behaviour>::default();
        let kind = agent_kind(clock.clone(), behaviour.clone());
        let host = Host::start(options.clone(), Arc::new(kind.clone()), clock.clone()).await.unwrap();
        Self { host, kind, behaviour, folder, options, clock }
    }

    /// Ends the host, leaving its sessions, and starts the next one on the same folder.
    pub(crate) async fn restart(self) -> Self {
        let Self { host, kind, behaviour, folder, options, clock } = self;
        host.serve_until(std::future::ready(())).await.unwrap();
        let host = Host::start(options.clone(), Arc::new(kind.clone()), clock.clone()).await.unwrap();
        Self { host, kind, behaviour, folder, options, clock }
    }

    /// A host that was started by hand.
    pub(crate) fn adopt(
        host: Host,
        kind: InMemoryKind,
        behaviour: Arc<Behaviour>,
        folder: Arc<TempDir>,
        options: HostOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { host, kind, behaviour, folder, options, clock }
    }

    /// What [`Host::start`] needs to start another host on the same folder.
    pub(crate) fn parts(&self) -> (HostOptions, InMemoryKind, Arc<dyn Clock>) {
        (self.options.clone(), self.kind.clone(), self.clock.clone())
    }

    /// Stops the host and its sessions; nothing may be left of them.
    pub(crate) async fn end(mut self) {
        self.options.on_shutdown = OnShutdown::Stop;
        self.options.timeouts.stop_grace = Duration::from_secs(1);
        let next = self.restart().await;
        let (kind, folder) = (next.kind.clone(), next.folder.clone());
        next.host.serve_until(std::future::ready(())).await.unwrap();
        assert_eq!(kind.running(), 0, "an agent is left");
        assert!(!folder.path().join("host.json").exists());
    }

    /// Serves on the host's socket until the guard is dropped, and then checks what is left.
    pub(crate) fn serve(self) -> Serving {
        let (stop, stopped) = oneshot::channel::<()>();
        let Self { host, kind, behaviour, folder, .. } = self;
        let (address, router) = (host.local_addr(), host.router());
        let served = tokio::spawn(host.serve_until(async move {
            let _ = stopped.await;
        }));
        Serving { address, router, kind, behaviour, stop, served, _folder: folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.host.router().oneshot(request).await.unwrap()
    }

    pub(crate) fn invocation(&self, session: &str, payload: impl Into<Body>) -> Request<Body> {
        Request::post("/invocations")
            .header("host", "localhost")
            .header(SESSION_ID, session)
            .body(payload.into())
            .unwrap()
    }

    pub(crate) async fn invoke(&self, session: &str, payload: &str) -> Answer {
        Answer::of(self.send(self.invocation(session, payload.to_owned())).await).await
    }

    pub(crate) async fn request(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        Answer::of(self.send(request.body(Body::empty()).unwrap()).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).await
    }

    /// The session as the API shows it, with its timeline.
    pub(crate) async fn show(&self, session: &str) -> Value {
        let answer = self.get(&format!("/_agentcore/v1/sessions/{session}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    pub(crate) async fn state(&self, session: &str) -> String {
        self.show(session).await["state"].as_str().unwrap().to_owned()
    }

    /// The names of what happened to the session.
    pub(crate) async fn timeline(&self, session: &str) -> Vec<String> {
        let shown = self.show(session).await;
        let events = shown["timeline"].as_array().unwrap();
        events.iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
    }
}

/// Waits, in paused time, until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}
