//! An identity provider on a loopback socket, with real keys.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RsaKeyPair,
};
use serde_json::{Value, json};

/// A key that the issuer signs with.
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: String,
    signing: EncodingKey,
    pub(crate) jwk: Value,
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Key {
    /// An RSA key: `a` or `b`.
    pub(crate) fn rsa(algorithm: Algorithm, which: &str, kid: &str) -> Self {
        let path = format!("{}/tests/keys/rsa-{which}.pem", env!("CARGO_MANIFEST_DIR"));
        let pem = std::fs::read_to_string(path).unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
        let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let jwk =
            json!({"kty": "RSA", "kid": kid, "use": "sig", "n": encode(&public.n), "e": encode(&public.e)});
        let signing = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
        Self { algorithm, kid: kid.to_owned(), signing, jwk }
    }

    /// A new key on a curve.
    pub(crate) fn elliptic(algorithm: Algorithm, kid: &str) -> Self {
        let random = SystemRandom::new();
        let (ring, curve, length) = match algorithm {
            Algorithm::ES256 => (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", 32),
            _ => (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", 48),
        };
        let private = EcdsaKeyPair::generate_pkcs8(ring, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(ring, private.as_ref(), &random).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(length);
        let jwk = json!({"kty": "EC", "crv": curve, "kid": kid, "x": encode(x), "y": encode(y)});
        let signing = EncodingKey::from_ec_der(private.as_ref());
        Self { algorithm, kid: kid.to_owned(), signing, jwk }
    }

    /// A new Ed25519 key.
    pub(crate) fn edwards(kid: &str) -> Self {
        let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "x": encode(pair.public_key().as_ref())});
        Self {
            algorithm: Algorithm::EdDSA,
            kid: kid.to_owned(),
            signing: EncodingKey::from_ed_der(private.as_ref()),
            jwk,
        }
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) };
        self.sign_as(&header, claims)
    }

    /// The signature of a token's first two parts, as it is written.
    pub(crate) fn signature(&self, message: &str) -> String {
        jsonwebtoken::crypto::sign(message.as_bytes(), &self.signing, self.algorithm).unwrap()
    }

    /// A token with these claims and another header.
    pub(crate) fn sign_as(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.signing).unwrap()
    }
}

/// What the issuer answers with, and how often it was asked for its keys.
#[derive(Default)]
struct Answers {
    keys: Mutex<Vec<Value>>,
    name: Mutex<Option<String>>,
    broken: Mutex<Option<u16>>,
    asked: AtomicUsize,
}

/// An identity provider on a loopback socket.
pub(crate) struct Issuer {
    pub(crate) url: String,
    answers: Arc<Answers>,
}

impl Issuer {
    /// Starts one with these keys.
    pub(crate) async fn start(keys: &[&Key]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = Arc::new(Answers::default());
        let issuer = Self { url: url.clone(), answers: answers.clone() };
        issuer.publish(keys);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, url) = (answers.clone(), url.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&answers, &url, request.uri().path());
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        issuer
    }

    pub(crate) fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.url)
    }

    /// Replaces the keys.
    pub(crate) fn publish(&self, keys: &[&Key]) {
        self.publish_raw(keys.iter().map(|key| key.jwk.clone()).collect());
    }

    pub(crate) fn publish_raw(&self, keys: Vec<Value>) {
        *self.answers.keys.lock().unwrap() = keys;
    }

    /// From now on it says that this is its name, and not its URL.
    pub(crate) fn call_itself(&self, name: &str) {
        *self.answers.name.lock().unwrap() = Some(name.to_owned());
    }

    /// From now on it answers with this status.
    pub(crate) fn break_with(&self, status: Option<u16>) {
        *self.answers.broken.lock().unwrap() = status;
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.answers.asked.load(Ordering::SeqCst)
    }
}

fn answer(answers: &Answers, url: &str, path: &str) -> Response<Full<Bytes>> {
    if let Some(status) = *answers.broken.lock().unwrap() {
        return Response::builder().status(status).header("location", url).body(Full::default()).unwrap();
    }
    let name = answers.name.lock().unwrap().clone().unwrap_or_else(|| url.to_owned());
    let body = match path {
        "/.well-known/openid-configuration" => json!({"issuer": name, "jwks_uri": format!("{url}/keys")}),
        "/keys" => {
            answers.asked.fetch_add(1, Ordering::SeqCst);
            json!({"keys": *answers.keys.lock().unwrap()})
        }
        _ => return Response::builder().status(404).body(Full::default()).unwrap(),
    };
    Response::new(Full::from(body.to_string()))
}
