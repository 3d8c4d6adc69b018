//! Tokens as a stranger writes them: whatever is accepted was signed by the issuer, with the
//! algorithm of the key, and says what the configuration asks for.

use std::panic::AssertUnwindSafe;

use agentcore_auth::jwt::{Fetcher, JwtAuthorizer};
use agentcore_auth::{Identity, Subject};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use sha2::Sha256;

use super::ROUNDS;
use crate::issuer::{Issuer, Key};
use crate::support::at;

const NOW: u64 = 1_800_000_000;
/// Where it stands in an input, the issuer's name is put, which has the port that it got.
const ISSUER: &str = "{issuer}";

/// An issuer with two keys, one authorizer that knows them, and a stranger.
struct World {
    tokio: tokio::runtime::Runtime,
    issuer: Issuer,
    authorizer: JwtAuthorizer,
    edwards: Key,
    elliptic: Key,
    stranger: Key,
}

/// An input, read: a line that says who signs, one with the header, and one with the claims.
struct Forged {
    signer: String,
    header: String,
    claims: String,
}

impl Forged {
    fn read(input: &[u8], issuer: &str) -> Option<Self> {
        let text = std::str::from_utf8(input).ok()?.replace(ISSUER, issuer);
        let mut lines = text.splitn(3, '\n').map(str::to_owned);
        Some(Self { signer: lines.next()?, header: lines.next()?, claims: lines.next()? })
    }
}

impl World {
    fn new() -> Self {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (edwards, elliptic) = (Key::edwards("ed"), Key::elliptic(Algorithm::ES256, "ec"));
        let (issuer, authorizer) = tokio.block_on(async {
            let issuer = Issuer::start(&[&edwards, &elliptic]).await;
            let configuration =
                json!({"discoveryUrl": issuer.discovery_url(), "allowedAudience": ["writer"], "allowedScopes": ["write"]});
            let configuration = serde_json::from_value(configuration).unwrap();
            let authorizer = JwtAuthorizer::new(configuration, Fetcher::new()).unwrap();
            // From here on the issuer's keys are known, and it is not asked again.
            authorizer.verify("e30.e30.", "writer", at(NOW)).await.unwrap_err();
            let token = edwards.sign(&json!({}));
            authorizer.verify(&token, "writer", at(NOW)).await.unwrap_err();
            (issuer, authorizer)
        });
        Self { tokio, issuer, authorizer, edwards, elliptic, stranger: Key::edwards("ed") }
    }

    /// The token, signed as its first line says.
    fn token(&self, forged: &Forged) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", encode(&forged.header), encode(&forged.claims));
        let public = |key: &Key| key.jwk["x"].as_str().unwrap().to_owned();
        let signature = match forged.signer.as_str() {
            "ed" => self.edwards.signature(&message),
            "ec" => self.elliptic.signature(&message),
            "stranger" => self.stranger.signature(&message),
            // The public key as an HMAC's secret, as it is written and as it is.
            "hmac" => hmac(public(&self.edwards).as_bytes(), &message),
            "hmac raw" => hmac(&URL_SAFE_NO_PAD.decode(public(&self.edwards)).unwrap(), &message),
            other => other.to_owned(),
        };
        format!("{message}.{signature}")
    }

    fn check(&self, forged: &Forged) {
        let token = self.token(forged);
        let Ok(principal) = self.tokio.block_on(self.authorizer.verify(&token, "writer", at(NOW))) else {
            return;
        };
        let algorithm = match forged.signer.as_str() {
            "ed" => "EdDSA",
            "ec" => "ES256",
            other => panic!("accepted, though signed by {other}"),
        };
        let header: Value = serde_json::from_str(&forged.header).unwrap();
        assert_eq!(header["alg"], algorithm);
        assert!(header["kid"].is_null() || header["kid"] == forged.signer.as_str(), "{header}");
        assert!(header["crit"].is_null(), "{header}");
        let claims: Value = serde_json::from_str(&forged.claims).unwrap();
        assert_eq!(claims["iss"], self.issuer.url.as_str());
        assert!(claims["exp"].as_f64().unwrap() > NOW as f64 - 60.0);
        assert!(claims["nbf"].is_null() || claims["nbf"].as_f64().unwrap() <= NOW as f64 + 60.0);
        let audience = &claims["aud"];
        assert!(audience == "writer" || audience.as_array().unwrap().iter().any(|one| one == "writer"));
        assert!(claims["scope"].as_str().unwrap().split(' ').any(|scope| scope == "write"));
        let subject = match claims.get("sub") {
            Some(name) => Subject::Named(name.as_str().unwrap().to_owned()),
            None => Subject::Client(claims["client_id"].as_str().unwrap().to_owned()),
        };
        let identity = Identity::Token { issuer: self.issuer.url.clone(), subject };
        assert_eq!(principal.identity(), &identity);
    }
}

fn hmac(secret: &[u8], message: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(message);
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

#[test]
fn fuzz_token() {
    let world = AssertUnwindSafe(World::new());
    bolero::check!(name = "token").with_iterations(ROUNDS).for_each(move |input: &[u8]| {
        let world = &world;
        if let Some(forged) = Forged::read(input, &world.issuer.url) {
            world.check(&forged);
        }
    });
}

/// Whatever is written where a token should be.
#[test]
fn fuzz_raw_token() {
    let world = AssertUnwindSafe(World::new());
    bolero::check!(name = "raw_token").with_iterations(ROUNDS).for_each(move |input: &[u8]| {
        let world = &world;
        let Ok(text) = std::str::from_utf8(input) else { return };
        assert!(world.tokio.block_on(world.authorizer.verify(text, "writer", at(NOW))).is_err());
    });
}

/// The seeds do reach what the fuzzer is to vary.
#[test]
fn the_good_tokens_among_the_seeds_are_accepted() {
    let world = World::new();
    for name in ["edwards", "elliptic"] {
        let seed = format!("{}/tests/it/fuzz/__fuzz__/token/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let forged = Forged::read(&std::fs::read(seed).unwrap(), &world.issuer.url).unwrap();
        let token = world.token(&forged);
        world.tokio.block_on(world.authorizer.verify(&token, "writer", at(NOW))).unwrap();
    }
}
