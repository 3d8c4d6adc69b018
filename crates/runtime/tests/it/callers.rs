//! Who may call, and whom a session belongs to.

use std::time::{Duration, UNIX_EPOCH};

use agentcore_auth::Rights;
use agentcore_auth::keys::{AccessKey, KeyStore};
use agentcore_protocol::headers::SESSION_ID;
use agentcore_runtime::{Host, HostError};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use std::sync::Arc;

use crate::support::{Answer, TestHost, session_id};

/// A host that asks everybody, and the keys of its folder.
async fn asking_host() -> (TestHost, KeyStore) {
    let host = TestHost::start_with(|options| options.auth.required = true).await;
    let keys = KeyStore::open(host.folder.path(), None).unwrap();
    (host, keys)
}

fn key(host: &TestHost, keys: &KeyStore, rights: Rights) -> Arc<AccessKey> {
    keys.create(None, rights, host.parts().2.now()).unwrap()
}

/// A request signed as AWS's SDK for Rust does it.
fn signed(host: &TestHost, key: &AccessKey, what: &str, session: &str, body: &str) -> Request<Body> {
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
        SignableRequest::new(method, &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))
            .unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    for (name, value) in instructions.headers() {
        request = request.header(name, value);
    }
    request.body(body.to_owned().into()).unwrap()
}

async fn call(host: &TestHost, key: &AccessKey, what: &str, session: &str, body: &str) -> Answer {
    Answer::of(host.send(signed(host, key, what, session, body)).await).await
}

const INVOKE: &str = "POST /runtimes/tester/invocations";

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
    options.auth.plain_http = true;
    start(options).await.unwrap().serve_until(std::future::ready(())).await.unwrap();
    host.end().await;
}
