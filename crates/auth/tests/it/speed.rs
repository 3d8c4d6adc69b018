//! What a verification costs. Not a test of anything: a printout, for
//! `cargo test --release -p agentcore-auth --test it -- --ignored --nocapture speed`.

use std::hint::black_box;

use agentcore_auth::Rights;
use agentcore_auth::jwt::{Fetcher, JwtAuthorizer};
use agentcore_auth::keys::KeyStore;
use agentcore_auth::sigv4::{Head, Payload, SigningSecret, Verifier};
use http::Request;
use jsonwebtoken::Algorithm;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::issuer::{Issuer, Key};
use crate::oracle::signed_by;
use crate::support::{VECTOR_TIME, at};

const ROUNDS: u32 = 20_000;

fn request(body: usize) -> Request<Vec<u8>> {
    Request::post(
        "http://localhost:8080/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aeu-west-1%3A123456789012%3Aruntime%2Fwriter-0123456789/invocations?qualifier=DEFAULT",
    )
    .header("x-amzn-bedrock-agentcore-runtime-session-id", "0123456789-0123456789-0123456789-012345")
    .header("content-type", "application/json")
    .header("amz-sdk-invocation-id", "3f0e0d3e-6a0c-4f0a-9f5e-0c8c1a1d6c11")
    .header("amz-sdk-request", "attempt=1")
    .body(vec![b'x'; body])
    .unwrap()
}

#[test]
#[ignore = "prints times, for an optimized build"]
fn speed_of_a_signature() {
    let folder = tempfile::tempdir().unwrap();
    let keys = KeyStore::open(folder.path(), None).unwrap();
    let key = keys.create(None, Rights::operator(), at(VECTOR_TIME)).unwrap();
    let verifier = Verifier::new("eu-west-1");
    for (body, presigned) in [(100, false), (100, true), (64 * 1024, false)] {
        let request = signed_by(&key.record().id, key.secret().expose(), request(body), presigned);
        let head = Head { method: request.method(), uri: request.uri(), headers: request.headers() };
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            let signed = verifier.read(black_box(&head), at(VECTOR_TIME)).unwrap();
            let key = keys.find(signed.access_key_id()).unwrap().unwrap();
            let payload = Payload::Sha256(Sha256::digest(request.body()).into());
            signed.verify(key.secret(), payload).unwrap();
        }
        let micros = begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
        println!("SigV4, body of {body} bytes, presigned: {presigned}: {micros:.2} µs");
    }
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        black_box(keys.find(&key.record().id).unwrap());
    }
    println!("  of it finding the key: {:.2} µs", begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
    let request = signed_by(&key.record().id, key.secret().expose(), request(100), false);
    let head = Head { method: request.method(), uri: request.uri(), headers: request.headers() };
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let secret = SigningSecret::new(key.secret().expose().to_owned());
        let payload = Payload::Sha256(Sha256::digest(request.body()).into());
        verifier.read(&head, at(VECTOR_TIME)).unwrap().verify(&secret, payload).unwrap();
    }
    println!(
        "  with a signing key to derive: {:.2} µs",
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
    );
}

#[tokio::test]
#[ignore = "prints times, for an optimized build"]
async fn speed_of_a_token() {
    let keys = [
        Key::rsa(Algorithm::RS256, "a", "1"),
        Key::rsa(Algorithm::PS256, "b", "2"),
        Key::elliptic(Algorithm::ES256, "3"),
        Key::elliptic(Algorithm::ES384, "4"),
        Key::edwards("5"),
    ];
    let issuer = Issuer::start(&keys.iter().collect::<Vec<_>>()).await;
    let configuration = json!({"discoveryUrl": issuer.discovery_url(), "allowedAudience": ["writer"], "allowedScopes": ["write"]});
    let authorizer =
        JwtAuthorizer::new(serde_json::from_value(configuration).unwrap(), Fetcher::new()).unwrap();
    for key in &keys {
        let claims = json!({"iss": issuer.url, "sub": "alice", "aud": "writer", "scope": "read write", "exp": VECTOR_TIME + 60});
        let token = key.sign(&claims);
        authorizer.verify(&token, "writer", at(VECTOR_TIME)).await.unwrap();
        let begun = Instant::now();
        for _ in 0..ROUNDS / 10 {
            black_box(authorizer.verify(&token, "writer", at(VECTOR_TIME)).await.unwrap());
        }
        let micros = begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS / 10);
        println!("JWT {:?}: {micros:.2} µs", key.algorithm);
    }
}
