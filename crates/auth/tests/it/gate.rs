//! The gate, from outside.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentcore_auth::gate::{Gate, GateOptions, HeldBody, TokenRule};
use agentcore_auth::jwt::{Fetcher, JwtAuthorizer};
use agentcore_auth::keys::{AccessKey, KeyStore};
use agentcore_auth::sigv4::Verifier;
use agentcore_auth::{Principal, Refusal, Rights};
use agentcore_protocol::{Clock, Timestamp};
use aws_credential_types::Credentials;
use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use jsonwebtoken::Algorithm;
use serde_json::json;
use tempfile::TempDir;

use crate::issuer::{Issuer, Key};
use crate::oracle::{signed_by, signed_with};
use crate::support::{VECTOR_TIME, at};

const METADATA: &str = "http://localhost/metadata";

#[derive(Clone)]
struct TestClock(Arc<Mutex<u64>>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        at(*self.0.lock().unwrap())
    }
}

struct Setup {
    gate: Gate,
    clock: TestClock,
    _state: TempDir,
}

fn setup(options: GateOptions) -> Setup {
    let state = tempfile::tempdir().unwrap();
    let keys = KeyStore::open(state.path(), None).unwrap();
    let clock = TestClock(Arc::new(Mutex::new(VECTOR_TIME)));
    let gate = Gate::new(options, Verifier::new("eu-west-1"), keys, Arc::new(clock.clone()));
    Setup { gate, clock, _state: state }
}

fn required() -> GateOptions {
    GateOptions { required: true, ..GateOptions::default() }
}

impl Setup {
    fn key(&self) -> Arc<AccessKey> {
        self.gate.keys().create(Some("ci"), Rights::invoke(["writer"]), self.clock.now()).unwrap()
    }

    async fn admit(
        &self,
        request: Request<Vec<u8>>,
        rule: Option<&TokenRule>,
    ) -> Result<(Principal, Option<HeldBody>), Refusal> {
        let (parts, body) = request.into_parts();
        self.gate.admit(&parts, &mut Full::from(body), rule, None).await
    }

    async fn status(&self, request: Request<Vec<u8>>, rule: Option<&TokenRule>) -> StatusCode {
        self.admit(request, rule).await.map_or_else(|refusal| refusal.status(), |_| StatusCode::OK)
    }
}

fn request() -> Request<Vec<u8>> {
    let url = "http://localhost:8080/runtimes/arn%3Aaws%3A1%2Fwriter/invocations?qualifier=DEFAULT";
    Request::post(url)
        .header("x-amzn-bedrock-agentcore-runtime-session-id", "s")
        .body(b"{\"a\": 1}".to_vec())
        .unwrap()
}

fn with_key(key: &AccessKey, presigned: bool) -> Request<Vec<u8>> {
    signed_by(&key.record().id, key.secret().expose(), request(), presigned)
}

#[tokio::test]
async fn where_nothing_is_set_up_the_machines_own_callers_are_not_asked() {
    let setup = setup(GateOptions::default());
    let unknown = signed_by("AKIAEXAMPLE", "any", request(), false);
    for request in [request(), unknown] {
        let (principal, _) = setup.admit(request, None).await.unwrap();
        assert_eq!(principal, Principal::local());
    }
}

#[tokio::test]
async fn a_signature_tells_who_calls_and_the_body_comes_through_whole() {
    let setup = setup(required());
    let key = setup.key();
    for presigned in [false, true] {
        let (principal, body) = setup.admit(with_key(&key, presigned), None).await.unwrap();
        assert_eq!(principal.to_string(), "key:ci");
        let body = body.expect("it was read");
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(8));
        assert_eq!(body.collect().await.unwrap().to_bytes(), &b"{\"a\": 1}"[..]);
    }
}

/// Containers, machines and roles hand out no key without one.
#[tokio::test]
async fn a_session_token_beside_a_key_of_this_host_means_nothing() {
    let setup = setup(required());
    let key = setup.key();
    let with_token = |id: &str, secret: &str, presigned| {
        let credentials = Credentials::new(id, secret, Some("token".to_owned()), None, "test");
        signed_with(credentials, request(), presigned)
    };
    for presigned in [false, true] {
        let (id, secret) = (&key.record().id, key.secret().expose());
        let request = with_token(id, secret, presigned);
        let (principal, _) = setup.admit(request.clone(), None).await.unwrap();
        assert_eq!(principal.to_string(), "key:ci");
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.to_string().replace("Security-Token=token", "Security-Token=other");
        parts.uri = target.parse().unwrap();
        if let Some(token) = parts.headers.get_mut("x-amz-security-token") {
            *token = "other".parse().unwrap();
        }
        let other = Request::from_parts(parts, body);
        assert_eq!(setup.status(other, None).await, StatusCode::FORBIDDEN, "it is signed");
        let of_aws = setup.admit(with_token("ASIAEXAMPLE", "secret", presigned), None).await.err().unwrap();
        assert!(of_aws.message().contains("temporary credentials of AWS's"), "{of_aws}");
    }
}

#[tokio::test]
async fn a_presigned_url_is_good_for_the_session_that_it_was_made_for() {
    let setup = setup(required());
    let key = setup.key();
    for name in ["x-amzn-bedrock-agentcore-runtime-session-id", "x-amzn-bedrock-agentcore-runtime-user-id"] {
        let mut unsigned = request();
        unsigned.headers_mut().clear();
        let mut url = signed_by(&key.record().id, key.secret().expose(), unsigned, true);
        assert_eq!(setup.status(url.clone(), None).await, StatusCode::OK);
        url.headers_mut().insert(name, "another".parse().unwrap());
        let refusal = setup.admit(url, None).await.err().unwrap();
        assert!(refusal.message().contains(name), "{refusal}");
    }
}

#[tokio::test]
async fn where_there_are_keys_a_bad_signature_is_worse_than_none() {
    let setup = setup(GateOptions::default());
    let key = setup.key();
    assert_eq!(setup.status(request(), None).await, StatusCode::OK);
    assert_eq!(setup.status(with_key(&key, false), None).await, StatusCode::OK);
    let unknown = signed_by("AKIAEXAMPLE", "any", request(), false);
    let refusal = setup.admit(unknown, None).await.err().unwrap();
    assert_eq!(refusal.message(), "The security token included in the request is invalid.");
    assert_eq!((refusal.status(), refusal.error()), (StatusCode::FORBIDDEN, "AccessDeniedException"));
    let other = setup.key();
    setup.gate.keys().revoke(&key.record().id).unwrap();
    assert_eq!(setup.status(with_key(&key, false), None).await, StatusCode::FORBIDDEN);
    assert_eq!(setup.status(with_key(&other, false), None).await, StatusCode::OK);
}

#[tokio::test]
async fn where_it_is_required_nobody_comes_in_without() {
    let setup = setup(required());
    let key = setup.key();
    let refusal = setup.admit(request(), None).await.err().unwrap();
    assert_eq!(
        (refusal.status(), refusal.message()),
        (StatusCode::FORBIDDEN, "Missing Authentication Token")
    );
    let mut bearer = request();
    bearer.headers_mut().insert("authorization", "Bearer x".parse().unwrap());
    let refusal = setup.admit(bearer, None).await.err().unwrap();
    assert!(refusal.message().starts_with("Authorization method mismatch."));
    let mut body = with_key(&key, false);
    body.body_mut().push(b' ');
    assert_eq!(setup.status(body, None).await, StatusCode::FORBIDDEN);
    let good = with_key(&key, false);
    *setup.clock.0.lock().unwrap() += 301;
    let refusal = setup.admit(good, None).await.err().unwrap();
    assert!(
        refusal.message().starts_with("Signature expired: 20150830T123600Z is now earlier than"),
        "{refusal}"
    );
}

#[tokio::test]
async fn an_agent_whose_callers_bring_tokens_takes_nothing_else() {
    let signing = Key::elliptic(Algorithm::ES256, "k");
    let issuer = Issuer::start(&[&signing]).await;
    let configuration = json!({"discoveryUrl": issuer.discovery_url(), "allowedClients": ["web"]});
    let configuration = serde_json::from_value(configuration).unwrap();
    let authorizer = Arc::new(JwtAuthorizer::new(configuration, Fetcher::new()).unwrap());
    let rule = TokenRule { authorizer, agent: "writer".into(), metadata: METADATA.into() };
    let setup = setup(GateOptions::default());
    let key = setup.key();
    let bearing = |client: &str, exp: u64| {
        let claims = json!({"iss": issuer.url, "sub": "alice", "client_id": client, "exp": exp});
        let mut request = request();
        let value = format!("Bearer {}", signing.sign(&claims)).parse().unwrap();
        request.headers_mut().insert("authorization", value);
        request
    };
    let (principal, body) = setup.admit(bearing("web", VECTOR_TIME + 60), Some(&rule)).await.unwrap();
    assert_eq!(principal.to_string(), format!("jwt:{} alice", issuer.url));
    assert!(body.is_none());
    for bad in [request(), bearing("web", VECTOR_TIME - 60)] {
        let refusal = setup.admit(bad, Some(&rule)).await.err().unwrap();
        assert_eq!((refusal.status(), refusal.error()), (StatusCode::UNAUTHORIZED, "UnauthorizedException"));
        let response = refusal.into_response::<Full<Bytes>>();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], format!("Bearer resource_metadata=\"{METADATA}\""));
        assert_eq!(response.headers()["x-amzn-errortype"], "UnauthorizedException");
    }
    let refusal = setup.admit(bearing("other", VECTOR_TIME + 60), Some(&rule)).await.err().unwrap();
    assert_eq!(refusal.message(), "Claim 'client_id' value mismatch with configuration.");
    assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
    for presigned in [false, true] {
        let refusal = setup.admit(with_key(&key, presigned), Some(&rule)).await.err().unwrap();
        assert!(refusal.message().starts_with("Authorization method mismatch."));
    }
    issuer.break_with(Some(500));
    *setup.clock.0.lock().unwrap() += 30 * 3600;
    let late = bearing("web", VECTOR_TIME + 31 * 3600);
    assert_eq!(setup.status(late, Some(&rule)).await, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn bodies_are_held_within_limits() {
    let setup = setup(GateOptions { max_body: 4096, max_held: 16_384, ..required() });
    let key = setup.key();
    let sized = |length: usize| {
        let mut request = request();
        *request.body_mut() = vec![7; length];
        signed_by(&key.record().id, key.secret().expose(), request, false)
    };
    let refusal = setup.admit(sized(4097), None).await.err().unwrap();
    assert_eq!((refusal.status(), refusal.error()), (StatusCode::BAD_REQUEST, "ValidationException"));
    let told = refusal.into_response::<Full<Bytes>>().into_body().collect().await.unwrap().to_bytes();
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(
        (&told["reason"], &told["fieldList"][0]["name"]),
        (&json!("FieldValidationFailed"), &json!("payload"))
    );
    let first = setup.admit(sized(4096), None).await.unwrap();
    let _others =
        [setup.admit(sized(4096), None).await.unwrap(), setup.admit(sized(4096), None).await.unwrap()];
    assert_eq!(setup.status(sized(4096), None).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(setup.status(sized(2048), None).await, StatusCode::OK, "there is room for small ones");
    drop(first);
    assert_eq!(setup.status(sized(4096), None).await, StatusCode::OK);
}

/// Whoever knows the id of a key can send what looks signed with it, and need not finish.
#[tokio::test]
async fn what_a_stranger_sends_leaves_room_for_others() {
    let setup = Arc::new(setup(GateOptions { max_body: 4096, max_held: 16_384, ..required() }));
    let key = setup.key();
    let address = |text: &str| Some(text.parse().unwrap());
    let mut strangers = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let forged = signed_by(&key.record().id, "not the secret", request(), false);
        let (setup, from) = (setup.clone(), address("192.0.2.1"));
        strangers.spawn(async move {
            let (mut sender, mut body) = http_body_util::channel::Channel::<Bytes>::new(1);
            sender.send_data(vec![7; 4096].into()).await.unwrap();
            let refused = setup.gate.admit(&forged.into_parts().0, &mut body, None, from).await;
            drop(sender);
            refused.is_err()
        });
    }
    // All but the one that there is room for are told to try again.
    for _ in 0..4 {
        assert!(strangers.join_next().await.unwrap().unwrap());
    }
    let mut own = request();
    *own.body_mut() = vec![1; 4096];
    let (parts, body) = signed_by(&key.record().id, key.secret().expose(), own, false).into_parts();
    let mut body = Full::<Bytes>::from(body);
    let (caller, _) = setup.gate.admit(&parts, &mut body, None, address("192.0.2.2")).await.unwrap();
    assert_eq!(caller.to_string(), "key:ci");
    assert_eq!(strangers.len(), 1, "one is still waited for");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_arrives_is_not_waited_for() {
    let setup = setup(GateOptions { body_timeout: Duration::from_secs(5), ..required() });
    let key = setup.key();
    let (parts, _) = with_key(&key, false).into_parts();
    let (_sender, mut body) = http_body_util::channel::Channel::<Bytes>::new(1);
    let refusal = setup.gate.admit(&parts, &mut body, None, None).await.err().unwrap();
    assert_eq!(refusal.status(), StatusCode::REQUEST_TIMEOUT);
}

/// One header of a request made wrong, and a good request is refused. None of it is a crash.
#[tokio::test]
async fn hostile_authorizations_are_refused() {
    let setup = setup(required());
    let key = setup.key();
    let good = with_key(&key, false);
    let authorization = good.headers()["authorization"].to_str().unwrap().to_owned();
    let with = |value: &str| {
        let mut request = good.clone();
        request.headers_mut().insert("authorization", value.parse().unwrap());
        request
    };
    let mut hostile: Vec<_> = (0..authorization.len()).map(|end| with(&authorization[..end])).collect();
    for (from, to) in [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AWS4-HMAC-SHA256", "AWS3-HTTPS"),
        ("AWS4-HMAC-SHA256", "aws4-hmac-sha256"),
        ("eu-west-1", "us-east-1"),
        ("bedrock-agentcore", "s3"),
        ("aws4_request", "aws4_request/aws4_request"),
        ("aws4_request", "AWS4_REQUEST"),
        ("20150830/", "20150829/"),
        ("20150830/", "/"),
        ("host;", ""),
        ("host;", "host;host;"),
        ("host;", "Host;"),
        ("host;", "host;absent;"),
        (";x-amz-date", ""),
        ("Signature=", "signature="),
        ("Signature=", "Signature=0"),
        ("Signature=", "Signature=,Signature="),
        ("Credential=", "Credential=x,Credential="),
        ("SignedHeaders=", "SignedHeaders=;"),
        (", SignedHeaders", ", Extra=1, SignedHeaders"),
    ] {
        let changed = authorization.replacen(from, to, 1);
        assert_ne!(changed, authorization, "{from}");
        hostile.push(with(&changed));
    }
    let long = "host;".repeat(100_000);
    hostile.push(with(&authorization.replace("host;", &long)));
    hostile.push(with(&authorization.to_uppercase()));
    hostile.push(with(&format!("{authorization}{}", "0".repeat(60_000))));
    let other = signed_by(&key.record().id, "wrong secret", request(), false);
    for name in ["authorization", "x-amz-date", "host"] {
        // Smuggled beside the good one, before it or after it.
        let mut after = good.clone();
        after.headers_mut().append(name, other.headers()[name].clone());
        hostile.push(after);
        let mut gone = good.clone();
        gone.headers_mut().remove(name);
        hostile.push(gone);
    }
    for (name, value) in [
        ("x-amz-security-token", "token"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("x-amz-date", "20150830T123601Z"),
        ("x-amz-date", "Sun, 30 Aug 2015 12:36:00 GMT"),
        ("host", "localhost:80"),
    ] {
        let mut request = good.clone();
        request.headers_mut().insert(name, value.parse().unwrap());
        hostile.push(request);
    }
    for target in [
        "/",
        "//runtimes",
        "/runtimes/../x",
        "/runtimes/./x",
        "/%2e%2e/",
        "/?X-Amz-Signature=1",
        "/?X-Amz-Algorithm",
    ] {
        let mut request = good.clone();
        *request.uri_mut() = target.parse().unwrap();
        hostile.push(request);
    }
    let count = hostile.len();
    for request in hostile {
        let shown = format!("{:?}", request.headers());
        let status = setup.status(request, None).await;
        assert!(status.is_client_error(), "{status}: {}", &shown[..shown.len().min(400)]);
    }
    assert!(count > 250, "{count}");
    assert_eq!(setup.status(good, None).await, StatusCode::OK);
}

/// The same for presigned queries.
#[tokio::test]
async fn hostile_presigned_queries_are_refused() {
    let setup = setup(required());
    let key = setup.key();
    let good = with_key(&key, true);
    let target = good.uri().to_string();
    let mut hostile: Vec<String> =
        (target.find('?').unwrap() + 1..target.len()).map(|end| target[..end].to_owned()).collect();
    for (from, to) in [
        ("X-Amz-Expires=600", "X-Amz-Expires=604801"),
        ("X-Amz-Expires=600", "X-Amz-Expires=0"),
        ("X-Amz-Expires=600", "X-Amz-Expires=-1"),
        ("X-Amz-Expires=600", "X-Amz-Expires=%2B600"),
        ("X-Amz-Expires=600", "X-Amz-Expires=99999999999999999999"),
        ("X-Amz-Expires=600", "X-Amz-Expires=601"),
        ("qualifier=DEFAULT", "qualifier=default"),
        ("qualifier=DEFAULT", "qualifier=DEFAULT&qualifier=DEFAULT"),
        ("eu-west-1", "us-east-1"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
    ] {
        let changed = target.replacen(from, to, 1);
        assert_ne!(changed, target, "{from}");
        hostile.push(changed);
    }
    for name in [
        "X-Amz-Signature=0",
        "X-Amz-Credential=x",
        "X-Amz-Date=20150830T123600Z",
        "X-Amz-Security-Token=t",
        "x=%ff",
        "%58-Amz-Signature=1",
        "X-Amz-Content-Sha256=UNSIGNED-PAYLOAD",
    ] {
        hostile.push(format!("{target}&{name}"));
        hostile.push(target.replacen('?', &format!("?{name}&"), 1));
    }
    for target in hostile {
        let mut request = good.clone();
        *request.uri_mut() = target.parse().unwrap();
        assert_eq!(setup.status(request, None).await, StatusCode::FORBIDDEN, "{target}");
    }
    let mut both = good.clone();
    both.headers_mut().insert("authorization", with_key(&key, false).headers()["authorization"].clone());
    assert_eq!(setup.status(both, None).await, StatusCode::FORBIDDEN);
    let mut websocket = good.clone();
    *websocket.method_mut() = http::Method::GET;
    websocket.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    let refusal = setup.admit(websocket, None).await.err().unwrap();
    assert_eq!(refusal.message(), "X-Amz-Expires must be between 1 and 300 seconds");
    assert_eq!(setup.status(good, None).await, StatusCode::OK);
}
