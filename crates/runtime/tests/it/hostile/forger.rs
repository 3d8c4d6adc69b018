//! Makes requests that are signed, and tokens, with everything about them up to the test.

use std::time::{Duration, UNIX_EPOCH};

use agentcore_auth::keys::AccessKey;
use agentcore_protocol::headers::SESSION_ID;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

pub(super) const HOST: &str = "agents.example";

/// What a request is signed for; the defaults are right.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// The time of signing, in seconds since the Unix epoch.
    pub(super) at: u64,
}

/// One signed request.
pub(super) struct Forged {
    pub(super) target: String,
    /// `name: value`.
    pub(super) headers: Vec<String>,
}

impl Forged {
    /// As it goes over the wire.
    pub(super) fn bytes(&self, more: &[&str], body: &str) -> Vec<u8> {
        let line = format!("POST {} HTTP/1.1", self.target);
        let own = self.headers.iter().map(String::as_str);
        let lines: Vec<&str> = std::iter::once(&*line).chain(own).chain(more.iter().copied()).collect();
        format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
    }

    /// The same with this text replaced wherever it is.
    pub(super) fn with(&self, from: &str, to: &str) -> Self {
        let change = |text: &String| text.replace(from, to);
        Self { target: change(&self.target), headers: self.headers.iter().map(change).collect() }
    }
}

/// A request that AWS's SDK for Rust has signed, in its headers or in its query.
pub(super) fn signed(key: &AccessKey, scope: Scope<'_>, path: &str, body: &str, in_query: bool) -> Forged {
    let identity = Credentials::new(&key.record().id, key.secret().expose(), None, None, "test").into();
    let mut settings = SigningSettings::default();
    if in_query {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(300));
    }
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(UNIX_EPOCH + Duration::from_secs(scope.at))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let url = format!("http://{HOST}{path}");
    let session = "hostile-".repeat(5);
    let headers = [("host", HOST), (SESSION_ID, &*session)];
    let body = SignableBody::Bytes(body.as_bytes());
    let signable = SignableRequest::new("POST", &url, headers.into_iter(), body).unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    let mut request = http::Request::post(&url).body(()).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    instructions.apply_to_request_http1x(&mut request);
    let lines = request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    Forged { target: request.uri().path_and_query().unwrap().to_string(), headers: lines.collect() }
}

/// An issuer's key, which signs whatever it is given.
pub(super) struct Issuing {
    pair: RsaKeyPair,
    pub(super) jwk: Value,
    /// The public key in the spellings that libraries have taken for an HMAC's secret.
    pub(super) public: Vec<Vec<u8>>,
}

impl Issuing {
    pub(super) fn new(which: &str) -> Self {
        let path = format!("{}/../auth/tests/keys/rsa-{which}.pem", env!("CARGO_MANIFEST_DIR"));
        let pem = std::fs::read_to_string(path).unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
        let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let (n, e) = (URL_SAFE_NO_PAD.encode(&parts.n), URL_SAFE_NO_PAD.encode(&parts.e));
        let jwk = json!({"kty": "RSA", "kid": "k", "use": "sig", "n": n, "e": e});
        let whole = pair.public().as_ref().to_vec();
        let text = STANDARD.encode(&whole);
        let armoured = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
        let public = vec![parts.n, n.into(), jwk.to_string().into(), whole, text.into(), armoured.into()];
        Self { pair, jwk, public }
    }

    /// A token with that header and these claims, signed as RS256 wants it.
    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A token that is signed with a secret.
pub(super) fn token_with_secret(
    algorithm: hmac::Algorithm,
    secret: &[u8],
    header: &Value,
    claims: &Value,
) -> String {
    let message = message(header, claims);
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// The first two parts of a token.
pub(super) fn message(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}
