//! Five hundred hostile requests, each on a socket of its own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentcore_auth::Rights;
use agentcore_auth::keys::KeyStore;
use agentcore_runtime::OnShutdown;
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing_subscriber::fmt::MakeWriter;

use super::forger::{Issuing, Scope, signed};
use super::{signatures, tokens};
use crate::callers::{issuer_with, key};
use crate::support::{Serving, TestHost};

/// What no log may tell: it is in every payload.
pub(super) const MARK: &str = "swordfish";
pub(super) const BODY: &str = r#"{"echo": "swordfish"}"#;
const PATIENCE: Duration = Duration::from_secs(60);
/// How many are at it at a time.
const AT_ONCE: usize = 16;

/// A hostile request, and what it is.
pub(super) struct Hostile {
    pub(super) what: String,
    pub(super) bytes: Vec<u8>,
    /// Whether nothing more is to come, so that the host does not wait for it.
    pub(super) is_cut: bool,
}

impl Hostile {
    pub(super) fn new(what: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { what: what.into(), bytes, is_cut: false }
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Sends it, and what the host answers until it closes the connection.
async fn answer(host: &Serving, request: &Hostile) -> String {
    let mut stream = host.connect().await;
    // The host may close before it has read all of it.
    let _ = stream.write_all(&request.bytes).await;
    if request.is_cut {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.unwrap_or_else(|_| panic!("the host waits for more: {}", request.what));
    String::from_utf8_lossy(&answer).into_owned()
}

/// On one thread: what it logs is all that is logged.
#[tokio::test]
async fn of_five_hundred_hostile_requests_none_gets_in_and_none_is_in_a_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let (issuing, other) = (Issuing::new("a"), Issuing::new("b"));
    let url = issuer_with(None, issuing.jwk.clone()).await;
    let host = TestHost::start_with(|options| {
        options.auth.required = true;
        options.on_shutdown = OnShutdown::Stop;
        let mut guarded = options.agents[0].clone();
        guarded.name = "guarded".to_owned();
        let rules = json!({
            "discoveryUrl": format!("{url}/.well-known/openid-configuration"), "allowedAudience": ["writer"],
            "allowedClients": ["web"], "allowedScopes": ["invoke"],
        });
        guarded.authorizer = Some(serde_json::from_value(rules).unwrap());
        options.agents.push(guarded);
    })
    .await;
    let keys = KeyStore::open(host.folder.path(), None).unwrap();
    let (key, clock) = (key(&host, &keys, Rights::invoke(["tester"])), host.parts().2);
    let folder = host.folder.clone();
    let host = host.serve();
    let scope = Scope { region: "us-east-1", service: "bedrock-agentcore", at: clock.now().unix_seconds() };

    let mut hostile = signatures::hostile(&key, scope);
    hostile.extend(tokens::hostile(&url, &issuing, &other, &signed(&key, scope, tokens::PATH, BODY, false)));
    let distinct: HashSet<&[u8]> = hostile.iter().map(|one| &*one.bytes).collect();
    assert!(distinct.len() >= 500, "only {} are different", distinct.len());
    let answered = stream::iter(&hostile).map(async |one| (one, answer(&host, one).await));
    let answered: Vec<_> = answered.buffer_unordered(AT_ONCE).collect().await;
    let got_in: Vec<_> = answered
        .iter()
        .filter(|(_, answered)| {
            let is_refused = answered.is_empty() || answered.starts_with("HTTP/1.1 4");
            !is_refused || answered.matches("HTTP/1.1 ").count() > 1 || answered.contains(MARK)
        })
        .map(|(one, answered)| {
            format!("{}: {answered}", one.what.chars().take(200).collect::<String>()).replace("\r\n", " ")
        })
        .collect();
    assert!(got_in.is_empty(), "{got_in:#?}");
    assert_eq!(host.kind.agents().len(), 0, "no agent was even started");

    let good = signed(&key, scope, signatures::PATH, BODY, false);
    let close = ["connection: close", &format!("content-length: {}", BODY.len())];
    let served = answer(&host, &Hostile::new("good", good.bytes(&close, BODY))).await;
    assert!(served.starts_with("HTTP/1.1 200") && served.contains(r#""count":1"#), "{served}");
    let token = issuing.token(&tokens::header(), &tokens::claims(&url));
    let served = answer(&host, &tokens::bearing(&[&format!("authorization: Bearer {token}")])).await;
    assert!(served.starts_with("HTTP/1.1 200") && served.contains(r#""count":1"#), "{served}");
    host.end().await;

    let signature = good.headers.iter().find_map(|line| line.split_once("Signature=")).unwrap().1;
    let parts = token.split('.').skip(1);
    let secrets: Vec<&str> = parts.chain([MARK, key.secret().expose(), signature]).collect();
    let logged = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
    let audited = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert!(logged.contains("TRACE") || logged.contains("DEBUG"), "the log says little: {logged}");
    assert!(audited.contains("AccessDenied"), "{audited}");
    for secret in secrets {
        assert!(!logged.contains(secret) && !audited.contains(secret), "a log gives away {secret}");
    }
}
