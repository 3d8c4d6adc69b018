//! Tokens that are not from the issuer, not for this agent, not good any more, or no tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac::{HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use serde_json::{Value, json};

use super::forger::{Forged, HOST, Issuing, message, token_with_secret};
use super::many::{BODY, Hostile};

pub(super) const PATH: &str = "/runtimes/guarded/invocations";
/// Within the lifetime of good tokens; the clock of a test host is at this time.
const NOW: u64 = 1_700_000_000;

pub(super) fn header() -> Value {
    json!({"alg": "RS256", "kid": "k"})
}

pub(super) fn claims(issuer: &str) -> Value {
    json!({"iss": issuer, "sub": "alice", "aud": "writer", "client_id": "web", "scope": "invoke", "exp": NOW + 3_600})
}

/// A request with these headers to the agent that asks for tokens.
pub(super) fn bearing(headers: &[&str]) -> Hostile {
    let length = format!("content-length: {}", BODY.len());
    let request = Forged { target: PATH.to_owned(), headers: vec![format!("host: {HOST}")] };
    let more = [headers, &["connection: close", &length]].concat();
    Hostile::new(headers.join("|"), request.bytes(&more, BODY))
}

fn with(token: &str) -> Hostile {
    bearing(&[&format!("authorization: Bearer {token}")])
}

/// With a `signed` request for the same path, which is good where signatures are asked for.
pub(super) fn hostile(issuer: &str, key: &Issuing, other: &Issuing, signed: &Forged) -> Vec<Hostile> {
    let good = key.token(&header(), &claims(issuer));
    let mut hostile: Vec<Hostile> = claimed(issuer, key).iter().map(|token| with(token)).collect();
    hostile.extend(confused(issuer, key, other, &good).iter().map(|token| with(token)));
    hostile.extend((0..good.len()).step_by(9).map(|end| with(&good[..end])));
    hostile.extend(around(&good, signed));
    hostile
}

/// Signed by the issuer, and for something else.
fn claimed(issuer: &str, key: &Issuing) -> Vec<String> {
    let wrong = [
        json!({"iss": "https://evil.example"}),
        json!({"iss": format!("{issuer}/")}),
        json!({"iss": [issuer]}),
        json!({"iss": null}),
        json!({"iss": issuer.to_uppercase()}),
        json!({"aud": "reader"}),
        json!({"aud": ["reader", "other"]}),
        json!({"aud": null}),
        json!({"aud": "writer2"}),
        json!({"aud": {"writer": "writer"}}),
        json!({"aud": []}),
        json!({"client_id": "batch"}),
        json!({"client_id": ["web"]}),
        json!({"client_id": null}),
        json!({"scope": "read"}),
        json!({"scope": "invoke2"}),
        json!({"scope": null}),
        json!({"scope": ["invoke"]}),
        json!({"exp": NOW - 61}),
        json!({"exp": NOW - 3_600}),
        json!({"exp": 0}),
        json!({"exp": null}),
        json!({"exp": (NOW + 600).to_string()}),
        json!({"exp": -1}),
        json!({"exp": []}),
        json!({"nbf": NOW + 600}),
        json!({"nbf": "now"}),
        json!({"nbf": []}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": ["alice"]}),
    ];
    let tokens = wrong.into_iter().map(|change| {
        let mut claims = claims(issuer);
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        key.token(&header(), &claims)
    });
    tokens
        .chain([json!([]), json!(null), json!("x")].iter().map(|claims| key.token(&header(), claims)))
        .collect()
}

/// Headers that would talk the host into another algorithm, or another key.
fn confused(issuer: &str, key: &Issuing, other: &Issuing, good: &str) -> Vec<String> {
    let claims = claims(issuer);
    let signature = good.rsplit_once('.').unwrap().1;
    let mut tokens = Vec::new();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "ES256", "ES384", "EdDSA", "PS256", "RS384", "RS1", "HS256",
        "dir",
    ] {
        let message = message(&json!({"alg": alg, "kid": "k"}), &claims);
        tokens.extend([format!("{message}."), format!("{message}.{signature}"), message]);
    }
    for (alg, algorithm) in [("HS256", HMAC_SHA256), ("HS384", HMAC_SHA384), ("HS512", HMAC_SHA512)] {
        let signed = |secret: &Vec<u8>, alg: &str| {
            token_with_secret(algorithm, secret, &json!({"alg": alg, "kid": "k"}), &claims)
        };
        tokens.extend(key.public.iter().map(|secret| signed(secret, alg)));
        tokens.extend([
            signed(&Vec::new(), alg),
            signed(&key.public[0], "RS256"),
            signed(&key.public[0], "none"),
        ]);
    }
    tokens.push(other.token(&header(), &claims));
    for kid in [json!("other"), json!(""), json!("../keys"), json!(7), json!(["k"])] {
        tokens.push(other.token(&json!({"alg": "RS256", "kid": kid}), &claims));
        tokens.push(key.token(&json!({"alg": "RS256", "kid": kid}), &claims));
    }
    // Keys that come along are nobody's.
    tokens.extend([
        other.token(&json!({"alg": "RS256", "kid": "k", "jwk": other.jwk}), &claims),
        other.token(&json!({"alg": "RS256", "jwk": other.jwk}), &claims),
        other.token(&json!({"alg": "RS256", "kid": "k", "jku": "https://evil.example/keys"}), &claims),
        other.token(&json!({"alg": "RS256", "kid": "k", "x5u": "https://evil.example/"}), &claims),
        key.token(&json!({"alg": "RS256", "kid": "k", "crit": ["b64"], "b64": false}), &claims),
        key.token(&json!({"alg": ["RS256"], "kid": "k"}), &claims),
        key.token(&json!([]), &claims),
    ]);
    // Encrypted ones have five parts.
    let encrypted =
        URL_SAFE_NO_PAD.encode(json!({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "k"}).to_string());
    tokens.extend([
        format!("{encrypted}.AAAA.AAAA.AAAA.AAAA"),
        format!("{encrypted}..AAAA.AAAA.AAAA"),
        format!("{good}.AAAA.AAAA"),
    ]);
    tokens
}

/// A good token in a wrong place, or beside something else.
fn around(good: &str, signed: &Forged) -> Vec<Hostile> {
    let authorization = format!("authorization: Bearer {good}");
    let signature = signed.headers.iter().find(|line| line.starts_with("authorization")).unwrap();
    let mut hostile = vec![
        bearing(&[]),
        bearing(&[&authorization, &authorization]),
        bearing(&[&authorization, signature]),
        bearing(&[signature, &authorization]),
        bearing(&[&format!("authorization: Bearer {good}, Bearer {good}")]),
        bearing(&[&format!("authorization: Basic {good}")]),
        bearing(&[&format!("authorization: {good}")]),
        bearing(&[&format!("authorization: Bearer{good}")]),
        bearing(&[&format!("proxy-authorization: Bearer {good}")]),
        bearing(&[&format!("cookie: authorization=Bearer {good}")]),
        bearing(&[&format!("x-amz-security-token: {good}")]),
        with(&format!("{good}=")),
        with(&format!("{good}A")),
        with(&good.replace('.', "..")),
        with(&"e30.".repeat(5_000)),
        with("e30.e30.e30"),
    ];
    let length = format!("content-length: {}", BODY.len());
    let more = ["connection: close", &length];
    hostile.push(Hostile::new("a signature where a token is wanted", signed.bytes(&more, BODY)));
    for target in ["/runtimes/tester/invocations", "/invocations", "/runtimes/", "/_agentcore/v1/sessions"] {
        let request = Forged {
            target: target.to_owned(),
            headers: vec![format!("host: {HOST}"), authorization.clone()],
        };
        hostile.push(Hostile::new(format!("a token at {target}"), request.bytes(&more, BODY)));
    }
    let target = format!("{PATH}?access_token={good}");
    let request = Forged { target, headers: vec![format!("host: {HOST}")] };
    hostile.push(Hostile::new("a token in the query", request.bytes(&more, BODY)));
    hostile
}
