//! Tokens of an identity provider that others wrote: `oidc-provider`, on a loopback port.
//!
//! AGENTCORE_TEST_JS_MODULES names the folder of modules that it is in.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use agentcore_auth::jwt::{Fetcher, JwtAuthorizer, JwtError};
use agentcore_auth::{Identity, Subject};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::at;

/// A provider that runs, and does what it is told.
struct Provider {
    process: Child,
    told: ChildStdin,
    said: BufReader<ChildStdout>,
    issuer: String,
}

impl Provider {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let modules =
            std::env::var_os("AGENTCORE_TEST_JS_MODULES").filter(|folder| Path::new(folder).is_dir());
        let Some(modules) = modules else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "set AGENTCORE_TEST_JS_MODULES");
            println!("skipped: AGENTCORE_TEST_JS_MODULES names no folder with oidc-provider");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/js/identity_provider.mjs");
        let mut node = Command::new("node");
        node.arg(script).env("NODE_MODULES", modules).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = node.stderr(Stdio::null()).spawn().unwrap();
        let (told, said) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut provider = Self { process, told, said, issuer: String::new() };
        provider.issuer = provider.line();
        Some(provider)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the provider has ended");
        line.trim_end().to_owned()
    }

    fn tell(&mut self, command: &str) -> String {
        writeln!(self.told, "{command}").unwrap();
        self.line()
    }

    fn token(&mut self, client: &str, resource: &str, scope: &str) -> String {
        self.tell(&format!("token {client} {resource} {scope}"))
    }

    fn authorizer(&self, rules: Value) -> JwtAuthorizer {
        let mut configuration =
            json!({"discoveryUrl": format!("{}/.well-known/openid-configuration", self.issuer)});
        configuration.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        JwtAuthorizer::new(serde_json::from_value(configuration).unwrap(), Fetcher::new()).unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// When a token was made: the time of these tests, so that they need no clock.
fn issued(token: &str) -> u64 {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["iat"].as_u64().unwrap()
}

async fn judge(authorizer: &JwtAuthorizer, token: &str, later: u64) -> Result<Identity, JwtError> {
    let verified = authorizer.verify(token, "writer", at(issued(token) + later)).await;
    verified.map(|principal| principal.identity().clone())
}

#[tokio::test]
async fn a_token_that_a_provider_issued_is_judged_by_its_claims() {
    let Some(mut provider) = Provider::start() else { return };
    for resource in ["urn:writer:RS256", "urn:writer:ES256"] {
        let token = provider.token("web", resource, "invoke");
        let whose =
            Identity::Token { issuer: provider.issuer.clone(), subject: Subject::Named("web".into()) };
        let rules =
            json!({"allowedAudience": [resource], "allowedClients": ["web"], "allowedScopes": ["invoke"]});
        assert_eq!(judge(&provider.authorizer(rules), &token, 0).await.unwrap(), whose);
        for (rules, claim) in [
            (json!({"allowedAudience": ["urn:reader:RS256"]}), "aud"),
            (json!({"allowedClients": ["batch"]}), "client_id"),
            (json!({"allowedScopes": ["read"]}), "scope"),
        ] {
            let refused = judge(&provider.authorizer(rules), &token, 0).await.unwrap_err();
            assert!(matches!(&refused, JwtError::Claim(named) if named == claim), "{refused}");
        }
        let rules = json!({"allowedAudience": [resource]});
        let late = judge(&provider.authorizer(rules), &token, 600 + 60).await.unwrap_err();
        assert!(matches!(late, JwtError::Expired), "{late}");
    }
}

#[tokio::test]
async fn a_provider_that_takes_new_keys_is_followed() {
    let Some(mut provider) = Provider::start() else { return };
    let authorizer = provider.authorizer(json!({"allowedClients": ["web"]}));
    let old = provider.token("web", "urn:writer:ES256", "invoke");
    judge(&authorizer, &old, 0).await.unwrap();
    provider.tell("rotate");
    let new = provider.token("web", "urn:writer:ES256", "invoke");
    judge(&authorizer, &new, 31).await.unwrap();
    let refused = judge(&authorizer, &old, 31).await.unwrap_err();
    assert!(matches!(refused, JwtError::UnknownKey), "a key that was taken back: {refused}");
}

#[tokio::test]
async fn a_provider_that_is_away_is_not_needed_for_the_keys_that_are_known() {
    let Some(mut provider) = Provider::start() else { return };
    let authorizer = provider.authorizer(json!({"allowedClients": ["web"]}));
    let known = provider.token("web", "urn:writer:RS256", "invoke");
    judge(&authorizer, &known, 0).await.unwrap();
    provider.tell("rotate");
    let unknown = provider.token("web", "urn:writer:RS256", "invoke");
    provider.tell("down");
    judge(&authorizer, &known, 601).await.unwrap();
    let refused = judge(&authorizer, &unknown, 632).await.unwrap_err();
    assert!(matches!(refused, JwtError::UnknownKey), "{refused}");
    let stranger = provider.authorizer(json!({"allowedClients": ["web"]}));
    let refused = judge(&stranger, &known, 0).await.unwrap_err();
    assert!(matches!(refused, JwtError::Issuer(_)), "{refused}");
    provider.tell("up");
    judge(&stranger, &unknown, 31).await.unwrap();
}
