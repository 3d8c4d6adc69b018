//! A real agent of a real host against the host's own API.
//!
//! Each attack is shown to work where what stands against it is away: by an agent that knows the host's
//! token, and from outside of the session's network.

use std::path::Path;

use agentcore_sandbox::Wall;
use serde_json::{Value, json};

use crate::support::http::raw;
use crate::support::{Host, Project, session_id};
use crate::walls::standing;

/// The agent that attacks, and whose other session is attacked.
const AGENT: &str = "agent";

/// What an attacker may want of the host, but for invocations.
pub(crate) struct Attack {
    pub(crate) what: &'static str,
    method: &'static str,
    path: String,
    body: Value,
}

impl Attack {
    /// All of them on this session of an agent, `code` being a program that the host may be told to run.
    /// From the gentlest to the one after which there is nothing left to attack.
    pub(crate) fn all(agent: &str, victim: &str, code: &Path) -> Vec<Self> {
        let of_session = |rest: &str| format!("/_agentcore/v1/sessions/{victim}{rest}");
        let of_agent = |operation: &str| format!("/runtimes/{agent}/{operation}");
        let runtime = json!({
            "agentRuntimeName": "planted", "roleArn": "arn:aws:iam::123456789012:role/agent",
            "networkConfiguration": {"networkMode": "PUBLIC"},
            "agentRuntimeArtifact": {
                "containerConfiguration": {"containerUri": format!("file://{}", code.display())},
            },
        });
        let attack = |what, method, path, body| Self { what, method, path, body };
        vec![
            attack("look at another session", "GET", of_session(""), Value::Null),
            attack("read another session's log", "GET", of_session("/logs"), Value::Null),
            attack("list everybody's tasks", "GET", "/_agentcore/v1/tasks".to_owned(), Value::Null),
            attack("list agent runtimes", "POST", "/runtimes/".to_owned(), json!({})),
            attack("create an agent runtime", "PUT", "/runtimes/".to_owned(), runtime),
            attack(
                "run a command in another session",
                "POST",
                of_agent("commands"),
                json!({"command": "true"}),
            ),
            attack("stop another session by AWS's API", "POST", of_agent("stopruntimesession"), json!({})),
            attack("stop another session", "POST", of_session("/stop"), Value::Null),
        ]
    }

    /// An invocation of a session, which wants no more than its id.
    pub(crate) fn invocation() -> Self {
        let what = "invoke another session whose id it knows";
        Self { what, method: "POST", path: "/invocations".to_owned(), body: json!({}) }
    }

    /// Its request for a socket.
    pub(crate) fn request(&self, victim: &str, token: Option<&str>) -> String {
        let Self { method, path, body, .. } = self;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let token = token.map(|token| format!("agentcore-host-token: {token}\r\n")).unwrap_or_default();
        let session = agentcore_protocol::headers::SESSION_ID;
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{session}: {victim}\r\n{token}content-type: \
             application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// A host with a session that is attacked, and one that attacks.
struct Scene {
    project: Project,
    host: Host,
    attacker: String,
    victim: String,
}

impl Scene {
    /// `None`: this machine cannot put up the walls that the scene needs.
    async fn set(network: &str, needed: &[Wall]) -> Option<Self> {
        standing(needed)?;
        let project = Project::with_test_agent(&["-n", AGENT]).await;
        let root = project.path().to_str().unwrap().to_owned();
        std::fs::create_dir(project.path().join("planted")).unwrap();
        std::fs::copy(project.path().join("agent.sh"), project.path().join("planted/agent.sh")).unwrap();
        let options = ["--network", network, "--code-root", &root, "--on-shutdown", "stop"];
        let host = project.serve(&options).await;
        let (attacker, victim) = (session_id("attacker"), session_id("victim"));
        project.invoke(&victim, "{}").await;
        Some(Self { project, host, attacker, victim })
    }

    fn address(&self) -> &str {
        self.host.url.strip_prefix("http://").unwrap()
    }

    fn token_file(&self) -> String {
        self.project.path().join(".agentcore/token").to_str().unwrap().to_owned()
    }

    fn attacks(&self) -> Vec<Attack> {
        Attack::all(AGENT, &self.victim, &self.project.path().join("planted/agent.sh"))
    }

    /// The request of an attack, for a socket.
    fn request(&self, attack: &Attack, token: Option<&str>) -> String {
        attack.request(&self.victim, token)
    }

    /// What the attacker gets who tries this from inside.
    async fn inside(&self, payload: Value) -> Value {
        self.project.invoke(&self.attacker, &payload.to_string()).await["tried"].take()
    }

    async fn send(&self, request: String) -> Value {
        self.inside(json!({ "to": self.address(), "send": request })).await
    }

    /// What nobody in a session may read.
    async fn expect_a_hidden_token(&self) {
        let token = std::fs::read_to_string(self.token_file()).expect("it is there for its owner");
        assert_eq!(token.len(), 64);
        let tried = self.inside(json!({ "read": self.token_file() })).await;
        assert!(tried["error"].is_string(), "the token is read from inside: {tried}");
        // What reads it reads what there is.
        let tried = self.inside(json!({ "read": "/proc/self/cmdline" })).await;
        assert!(tried["got"].is_string(), "{tried}");
    }

    async fn end(self) {
        self.host.end(nix::sys::signal::Signal::SIGTERM).await;
        self.project.expect_no_processes().await;
    }
}

/// The status of an answer, as a socket got it.
fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

#[tokio::test]
async fn with_egress_an_agent_does_not_reach_its_host() {
    let Some(scene) = Scene::set("egress", &[Wall::Network, Wall::Mount]).await else { return };
    scene.expect_a_hidden_token().await;
    for attack in scene.attacks() {
        let request = scene.request(&attack, None);
        let tried = scene.send(request.clone()).await;
        assert!(tried["error"].is_string(), "{} from inside: {tried}", attack.what);
        // Whom no network of their own keeps away gets it: nobody is asked for a token here.
        let outside = status(&raw(scene.address(), &request).await);
        assert!((200..300).contains(&outside), "{} from outside: {outside}", attack.what);
        scene.project.invoke(&scene.victim, "{}").await;
    }
    scene.end().await;
}

#[tokio::test]
async fn with_the_machines_own_network_an_agent_reaches_its_host_and_may_only_invoke() {
    let Some(scene) = Scene::set("host", &[Wall::Mount]).await else { return };
    scene.expect_a_hidden_token().await;
    let ping = "GET /ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned();
    let tried = scene.send(ping).await;
    assert_eq!(status(tried["got"].as_str().unwrap()), 200, "it reaches it: {tried}");
    for attack in scene.attacks() {
        let tried = scene.send(scene.request(&attack, None)).await;
        let answer = tried["got"].as_str().unwrap();
        assert_eq!(status(answer), 403, "{}: {answer}", attack.what);
    }
    assert_eq!(
        scene.project.invoke(&scene.victim, "{}").await["count"],
        2,
        "it goes on as if nothing had been"
    );
    scene.end().await;
}

#[tokio::test]
async fn an_agent_that_knew_the_token_would_get_all_it_wants() {
    let Some(scene) = Scene::set("host", &[]).await else { return };
    let token = std::fs::read_to_string(scene.token_file()).unwrap();
    for attack in scene.attacks() {
        let tried = scene.send(scene.request(&attack, Some(&token))).await;
        let got = status(tried["got"].as_str().unwrap());
        assert!((200..300).contains(&got), "{}: {tried}", attack.what);
        // The last two take it away.
        scene.project.invoke(&scene.victim, "{}").await;
    }
    scene.end().await;
}
