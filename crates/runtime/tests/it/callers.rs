//! Who may call, and whom a session belongs to.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use agentcore_auth::Rights;
use agentcore_auth::keys::{AccessKey, KeyStore};
use agentcore_protocol::headers::SESSION_ID;
use agentcore_runtime::{Host, HostError, TlsError, TlsOptions};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper_util::rt::TokioIo;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;

use crate::support::{Answer, TestHost, session_id};

/// A host that asks everybody, and the keys of its folder.
pub(crate) async fn asking_host() -> (TestHost, KeyStore) {
    let host = TestHost::start_with(|options| options.auth.required = true).await;
    let keys = KeyStore::open(host.folder.path(), None).unwrap();
    (host, keys)
}

pub(crate) fn key(host: &TestHost, keys: &KeyStore, rights: Rights) -> Arc<AccessKey> {
    keys.create(None, rights, host.parts().2.now()).unwrap()
}

/// A request signed as AWS's SDK for Rust does it.
pub(crate) fn signed(
    host: &TestHost,
    key: &AccessKey,
    what: &str,
    session: &str,
    body: impl AsRef<[u8]>,
) -> Request<Body> {
    let body = body.as_ref();
    let (method, path) = what.split_once(' ').unwrap();
    let identity = Credentials::new(&key.record().id, key.secret().expose(), None, None, "test").into();
    let now = Duration::from_millis(host.parts().2.now().unix_millis());
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("bedrock-agentcore")
        .time(UNIX_EPOCH + now)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let url = format!("http://agents.example{path}");
    let headers = [("host", "agents.example"), (SESSION_ID, session)];
    let signable =
        SignableRequest::new(method, &url, headers.into_iter(), SignableBody::Bytes(body)).unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    for (name, value) in instructions.headers() {
        request = request.header(name, value);
    }
    request.body(body.to_vec().into()).unwrap()
}

pub(crate) async fn call(
    host: &TestHost,
    key: &AccessKey,
    what: &str,
    session: &str,
    body: impl AsRef<[u8]>,
) -> Answer {
    Answer::of(host.send(signed(host, key, what, session, body)).await).await
}

pub(crate) const INVOKE: &str = "POST /runtimes/tester/invocations";

#[tokio::test(start_paused = true)]
async fn where_it_is_required_nothing_is_served_without_a_signature() {
    let (host, keys) = asking_host().await;
    let key = key(&host, &keys, Rights::operator());
    for path in ["/ping", "/invocations", "/_agentcore/v1/sessions", "/runtimes/", "/nowhere"] {
        let answer = host.get(path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.headers["x-amzn-errortype"], "AccessDeniedException");
        assert_eq!(answer.json()["message"], "Missing Authentication Token");
    }
    let (session, body) = (session_id("mine"), r#"{"echo": 1}"#);
    for what in [INVOKE, "POST /invocations", "POST /runtimes", "GET /_agentcore/v1/sessions", "GET /ping"] {
        let body = if what.ends_with("invocations") { body } else { "" };
        let answer = call(&host, &key, what, &session, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{what}: {answer:?}");
    }
    let mut changed = signed(&host, &key, INVOKE, &session, body);
    *changed.body_mut() = r#"{"echo": 2}"#.into();
    assert_eq!(host.send(changed).await.status(), StatusCode::FORBIDDEN);
    keys.revoke(&key.record().id).unwrap();
    assert_eq!(call(&host, &key, INVOKE, &session, body).await.status, StatusCode::FORBIDDEN);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_belongs_to_whom_it_was_begun_by() {
    let (host, keys) = asking_host().await;
    let [one, other] = [0, 1].map(|_| key(&host, &keys, Rights::invoke(["tester"])));
    let operator = key(&host, &keys, Rights::operator());
    let session = session_id("shared");
    let stop = "POST /runtimes/tester/stopruntimesession";
    assert!(call(&host, &one, INVOKE, &session, "{}").await.is_new_session());
    assert!(!call(&host, &one, INVOKE, &session, "{}").await.is_new_session());
    assert_eq!(call(&host, &other, stop, &session, "").await.status, StatusCode::NOT_FOUND);
    assert!(call(&host, &other, INVOKE, &session, "{}").await.is_new_session(), "a session of its own");
    assert_eq!(call(&host, &other, stop, &session, "").await.status, StatusCode::OK);
    assert!(!call(&host, &one, INVOKE, &session, "{}").await.is_new_session(), "it was stopped by another");
    let show = format!("POST /_agentcore/v1/sessions/{session}/stop?agent=tester");
    assert_eq!(call(&host, &one, &show, &session, "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(call(&host, &operator, &show, &session, "").await.status, StatusCode::ACCEPTED);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_is_seen_by_whom_its_session_belongs_to_and_by_operators() {
    let (host, keys) = asking_host().await;
    let [one, other] = [0, 1].map(|_| key(&host, &keys, Rights::invoke(["tester"])));
    let operator = key(&host, &keys, Rights::operator());
    let session = session_id("mine");
    call(&host, &one, INVOKE, &session, "{}").await;
    let folder = host.kind.agents()[0].spec().folder.join("journal");
    std::fs::create_dir_all(&folder).unwrap();
    let line = json!({"at": 1, "task_id": 7, "event": "started", "name": "t"});
    std::fs::write(folder.join("tasks.jsonl"), format!("{line}\n")).unwrap();
    let list = async |key| call(&host, key, "GET /_agentcore/v1/tasks", &session, "").await.json();
    while list(&operator).await["tasks"].as_array().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let seen = list(&one).await["tasks"][0].clone();
    assert_eq!((&seen["task_id"], &seen["session_id"]), (&json!(7), &json!(session)));
    assert_eq!(list(&other).await, json!({ "tasks": [] }));
    let show = format!("GET /_agentcore/v1/tasks/{}/7", seen["incarnation"].as_str().unwrap());
    let cancel = format!("{}/cancel", show.replace("GET", "POST"));
    for (key, shown, cancelled) in [(&one, 200, 501), (&operator, 200, 501), (&other, 404, 404)] {
        assert_eq!(call(&host, key, &show, &session, "").await.status.as_u16(), shown);
        assert_eq!(call(&host, key, &cancel, &session, "").await.status.as_u16(), cancelled);
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_allows_what_it_was_made_for() {
    let (host, keys) = asking_host().await;
    let stranger = key(&host, &keys, Rights::invoke(["another"]));
    let caller = key(&host, &keys, Rights::invoke(["tester"]));
    let keeper =
        key(&host, &keys, Rights { administer: ["tester"].into_iter().collect(), ..Rights::default() });
    let session = session_id("mine");
    for what in [INVOKE, "POST /invocations", "GET /ping", "POST /runtimes/tester/commands"] {
        let body = if what.ends_with("commands") { r#"{"command": "true"}"# } else { "{}" };
        let body = if what.starts_with("GET") { "" } else { body };
        for key in [&stranger, &keeper] {
            assert_eq!(call(&host, key, what, &session, body).await.status, StatusCode::FORBIDDEN, "{what}");
        }
    }
    assert_eq!(call(&host, &caller, INVOKE, &session, "{}").await.status, StatusCode::OK);
    for (what, body) in [
        ("GET /runtimes/tester/", ""),
        ("PUT /runtimes/tester/", "{}"),
        ("DELETE /runtimes/tester", ""),
        ("POST /runtimes/tester/runtime-endpoints/", ""),
        ("PUT /runtimes/", r#"{"agentRuntimeName": "new"}"#),
        ("GET /runtimes/nobody/", ""),
    ] {
        let refused = call(&host, &caller, what, &session, body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}: {refused:?}");
    }
    assert_eq!(call(&host, &keeper, "GET /runtimes/tester/", &session, "").await.status, StatusCode::OK);
    let listed = async |key: &AccessKey| {
        call(&host, key, "POST /runtimes/", &session, "").await.json()["agentRuntimes"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((listed(&keeper).await, listed(&caller).await), (1, 0));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn beyond_loopback_every_caller_is_asked_and_tls_is_not_forgotten() {
    let host = TestHost::start().await;
    let (_, kind, clock) = host.parts();
    let folder = tempfile::tempdir().unwrap();
    let mut options = agentcore_runtime::HostOptions::new(folder.path());
    options.listen = "0.0.0.0:0".parse().unwrap();
    options.auth.required = true;
    let start = async |options| Host::start(options, Arc::new(kind.clone()), clock.clone()).await;
    assert!(matches!(start(options.clone()).await.err(), Some(HostError::NoTls(_))));
    let missing = folder.path().join("none.pem");
    options.tls = Some(TlsOptions { cert: missing.clone(), key: missing });
    assert!(matches!(start(options.clone()).await.err(), Some(HostError::Tls(TlsError::Read { .. }))));
    options.tls = None;
    options.auth.plain_http = true;
    start(options).await.unwrap().serve_until(std::future::ready(())).await.unwrap();
    host.end().await;
}

/// An identity provider on a loopback socket, with one key.
async fn issuer() -> (String, Ed25519KeyPair) {
    issuer_named(None).await
}

/// One that says that this is its name.
async fn issuer_named(name: Option<&str>) -> (String, Ed25519KeyPair) {
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
    let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    let url = issuer_with(name, json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x})).await;
    (url, key)
}

/// One with this key, and perhaps with a name that is not its URL.
pub(crate) async fn issuer_with(name: Option<&str>, key: serde_json::Value) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let metadata = json!({"issuer": name.unwrap_or(&url), "jwks_uri": format!("{url}/keys")});
    let keys = json!({ "keys": [key] });
    let answer = move |request: hyper::Request<hyper::body::Incoming>| {
        let document = if request.uri().path() == "/keys" { &keys } else { &metadata };
        std::future::ready(Ok::<_, std::convert::Infallible>(hyper::Response::new(document.to_string())))
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(answer.clone());
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

fn token(issuer: &str, key: &Ed25519KeyPair, subject: &str, client: &str) -> String {
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": issuer, "sub": subject, "client_id": client, "exp": 4_000_000_000_u64});
    let message = format!("{}.{}", encode(json!({"alg": "EdDSA", "kid": "k"})), encode(claims));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes())))
}

/// The path of a task that the agent of the caller's first session tells of.
async fn task_of(host: &TestHost, signing: &Ed25519KeyPair, issuer: &str, subject: &str) -> String {
    let folder = host.kind.agents()[0].spec().folder.join("journal");
    std::fs::create_dir_all(&folder).unwrap();
    let line = json!({"at": 1, "task_id": 7, "event": "started", "name": "theirs"});
    std::fs::write(folder.join("tasks.jsonl"), format!("{line}\n")).unwrap();
    loop {
        let request = Request::get("/_agentcore/v1/tasks?agent=tester")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", token(issuer, signing, subject, "web")));
        let list = Answer::of(host.send(request.body(Body::empty()).unwrap()).await).await.json();
        if let Some(incarnation) = list["tasks"][0]["incarnation"].as_str() {
            return format!("/_agentcore/v1/tasks/{incarnation}/7");
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_agent_with_an_authorizer_is_reached_with_its_issuers_tokens_alone() {
    let (url, signing) = issuer().await;
    let configuration =
        json!({"discoveryUrl": format!("{url}/.well-known/openid-configuration"), "allowedClients": ["web"]});
    let host = TestHost::start_with(|options| {
        options.agents[0].authorizer = Some(serde_json::from_value(configuration).unwrap());
    })
    .await;
    let keys = KeyStore::open(host.folder.path(), None).unwrap();
    let operator = key(&host, &keys, Rights::operator());
    let session = session_id("theirs");
    let bearing = async |subject: &str, client: &str, path: &str| {
        let request = Request::post(path)
            .header("host", "localhost")
            .header(SESSION_ID, &session)
            .header("authorization", format!("Bearer {}", token(&url, &signing, subject, client)));
        Answer::of(host.send(request.body("{}".into()).unwrap()).await).await
    };
    let path = "/runtimes/tester/invocations";
    assert!(bearing("alice", "web", path).await.is_new_session());
    assert!(!bearing("alice", "web", "/invocations").await.is_new_session());
    assert!(bearing("bob", "web", path).await.is_new_session(), "a session of his own");
    assert_eq!(bearing("alice", "other", path).await.status, StatusCode::FORBIDDEN);
    for path in [
        path,
        "/invocations",
        "/runtimes/%74ester/invocations",
        "/runtimes/tester/commands?qualifier=DEFAULT",
    ] {
        let request = Request::post(path).header("host", "localhost:8080").body(Body::empty()).unwrap();
        let answer = Answer::of(host.send(request).await).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        let metadata = challenge.strip_prefix("Bearer resource_metadata=\"http://localhost:8080").unwrap();
        let document = host.get(metadata.trim_end_matches('"')).await.json();
        assert_eq!(document["authorization_servers"], json!([url]));
        assert!(
            document["resource"].as_str().unwrap().ends_with("/invocations?qualifier=DEFAULT"),
            "{document}"
        );
    }
    let mut signed = signed(&host, &operator, INVOKE, &session, "{}");
    signed.headers_mut().insert("host", "localhost".parse().unwrap());
    assert_eq!(host.send(signed).await.status(), StatusCode::FORBIDDEN);
    // What is to be read later is read with the same token.
    let with = async |method: &str, subject: &str, path: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("prefer", "respond-async")
            .header("authorization", format!("Bearer {}", token(&url, &signing, subject, "web")));
        Answer::of(host.send(request.body("{}".into()).unwrap()).await).await
    };
    let asked = with("POST", "alice", path).await;
    let later = asked.headers["location"].to_str().unwrap();
    assert_eq!(with("GET", "alice", &format!("{later}&wait=60")).await.json()["state"], "completed");
    assert_eq!(with("GET", "bob", later).await.status, StatusCode::NOT_FOUND);
    let task = task_of(&host, &signing, &url, "alice").await;
    for (subject, seen) in [("alice", 1), ("bob", 0)] {
        let list = with("GET", subject, "/_agentcore/v1/tasks?agent=tester").await.json();
        assert_eq!(list["tasks"].as_array().unwrap().len(), seen, "{subject}: {list}");
    }
    assert_eq!(with("GET", "alice", &format!("{task}?agent=tester&wait=0")).await.json()["name"], "theirs");
    assert_eq!(with("GET", "bob", &format!("{task}?agent=tester")).await.status, StatusCode::NOT_FOUND);
    for subject in ["alice", "bob"] {
        let cancelled = with("POST", subject, &format!("{task}/cancel?agent=tester")).await.status;
        // Its agent knows of no cancelling.
        let expected = if subject == "alice" { StatusCode::NOT_IMPLEMENTED } else { StatusCode::NOT_FOUND };
        assert_eq!(cancelled, expected, "{subject}");
    }
    // What does not reach the agent is the operator's.
    assert_eq!(host.get("/runtimes/tester/").await.status, StatusCode::OK);
    host.end().await;
}

/// A host with agents `tester` and `other`, each with its issuer.
async fn with_issuers(urls: [&str; 2]) -> TestHost {
    let authorizer = |url: &str| {
        let configuration = json!({
            "discoveryUrl": format!("{url}/.well-known/openid-configuration"), "allowedClients": ["web"],
        });
        Some(serde_json::from_value(configuration).unwrap())
    };
    TestHost::start_with(|options| {
        let mut other = options.agents[0].clone();
        other.name = "other".to_owned();
        other.authorizer = authorizer(urls[1]);
        options.agents[0].authorizer = authorizer(urls[0]);
        options.agents[0].request_headers = vec!["authorization".to_owned()];
        options.agents.push(other);
    })
    .await
}

async fn bearing(host: &TestHost, request: &str, token: &str) -> Answer {
    let (method, path) = request.split_once(' ').unwrap();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("prefer", "respond-async")
        .header("authorization", format!("Bearer {token}"));
    Answer::of(host.send(request.body("{}".into()).unwrap()).await).await
}

/// Whoever administers an agent says which issuer its callers' tokens are of.
#[tokio::test]
async fn the_issuer_of_one_agent_does_not_speak_for_that_of_another() {
    let (url, signing) = issuer().await;
    let (liar, forging) = issuer_named(Some(&url)).await;
    let host = with_issuers([&url, &liar]).await;
    let own = token(&url, &signing, "alice", "web");
    let asked = bearing(&host, "POST /runtimes/tester/invocations", &own).await;
    let later = asked.headers["location"].to_str().unwrap().split('?').next().unwrap();
    let forged = token(&url, &forging, "alice", "web");
    for method in ["GET", "DELETE"] {
        let answer = bearing(&host, &format!("{method} {later}?agent=other"), &forged).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    }
    let owned = bearing(&host, &format!("GET {later}?agent=tester&wait=60"), &own).await;
    assert_eq!(owned.json()["state"], "completed");
    host.end().await;
}

#[tokio::test]
async fn a_token_reaches_an_agent_that_asks_for_it_and_no_other() {
    let (url, signing) = issuer().await;
    let host = with_issuers([&url, &url]).await;
    let bearer = format!("Bearer {}", token(&url, &signing, "alice", "web"));
    for (agent, arrived) in [("tester", Some(&*bearer)), ("other", None)] {
        let request = Request::post(format!("/runtimes/{agent}/invocations"))
            .header("host", "localhost")
            .header("authorization", &bearer);
        let answer = Answer::of(host.send(request.body(r#"{"do":"headers"}"#.into()).unwrap()).await).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.json().get("authorization").and_then(|value| value.as_str()), arrived, "{agent}");
    }
    host.end().await;
}

#[tokio::test]
async fn a_token_reaches_the_results_of_the_agent_that_let_it_in() {
    let (url, signing) = issuer().await;
    let host = with_issuers([&url, &url]).await;
    let own = token(&url, &signing, "alice", "web");
    let asked = bearing(&host, "POST /runtimes/tester/invocations", &own).await;
    let later = asked.headers["location"].to_str().unwrap().split('?').next().unwrap();
    let through = async |request: &str| bearing(&host, request, &own).await.status;
    assert_eq!(through(&format!("GET {later}?agent=tester&wait=60")).await, StatusCode::OK);
    for request in [format!("GET {later}?agent=other"), format!("DELETE {later}?agent=other")] {
        assert_eq!(through(&request).await, StatusCode::NOT_FOUND, "{request}");
    }
    let task = task_of(&host, &signing, &url, "alice").await;
    assert_eq!(through(&format!("GET {task}?agent=other")).await, StatusCode::NOT_FOUND);
    for path in ["invocations", "tasks"] {
        let list = bearing(&host, &format!("GET /_agentcore/v1/{path}?agent=other"), &own).await.json();
        assert_eq!(list[path], json!([]), "{list}");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_durable_invocation_is_its_callers_and_an_operators() {
    let (host, keys) = asking_host().await;
    let [one, other] = [0, 1].map(|_| key(&host, &keys, Rights::invoke(["tester"])));
    let operator = key(&host, &keys, Rights::operator());
    let session = session_id("mine");
    let asked = async |by: &AccessKey, key: &str| {
        let mut request = signed(&host, by, INVOKE, &session, "{}");
        request.headers_mut().insert("prefer", "respond-async, wait=5".parse().unwrap());
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        let answer = Answer::of(host.send(request).await).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.headers["agentcore-invocation-id"].to_str().unwrap().to_owned()
    };
    let id = asked(&one, "key").await;
    assert_eq!(asked(&one, "key").await, id);
    assert_ne!(asked(&other, "key").await, id, "a key is its caller's own");
    for path in ["", "/answer", "/events"] {
        let show = format!("GET /_agentcore/v1/invocations/{id}{path}");
        for (by, status) in [(&one, 200), (&other, 404), (&operator, 200)] {
            assert_eq!(call(&host, by, &show, &session, "").await.status.as_u16(), status, "{show}");
        }
    }
    for (by, count) in [(&one, 1), (&other, 1), (&operator, 2)] {
        let list = call(&host, by, "GET /_agentcore/v1/invocations", &session, "").await.json();
        assert_eq!(list["invocations"].as_array().unwrap().len(), count);
    }
    host.end().await;
}
