//! What an issuer says of itself: its name and its keys.

use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{Jwk, VerifyingKey};
use super::error::JwtError;
use super::fetch::{FetchError, Fetcher};
use super::token::Token;
use super::verified::Verified;

const WELL_KNOWN: &str = "/.well-known/";

/// More than any issuer has.
const MAX_KEYS: usize = 100;

/// An issuer, as its documents describe it.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) issuer: String,
    keys: Vec<VerifyingKey>,
    /// Of these keys: who asks the issuer again begins anew.
    verified: Verified,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

impl Provider {
    /// Fetches both documents.
    pub(super) async fn fetch(fetcher: &Fetcher, discovery_url: &str) -> Result<Self, FetchError> {
        let metadata: Metadata = fetcher.json(discovery_url).await?;
        let malformed = |reason: &str| {
            let url = discovery_url.parse().unwrap_or_default();
            FetchError::Malformed(url, reason.to_owned())
        };
        if metadata.issuer.is_empty() || metadata.issuer.contains(char::is_whitespace) {
            return Err(malformed("its issuer is no URL"));
        }
        // Otherwise whoever may name a URL could speak for any issuer (OpenID Connect Discovery 4.3).
        if !is_of(discovery_url, &metadata.issuer) {
            return Err(malformed("its issuer is another than the one that its URL is of"));
        }
        if discovery_url.starts_with("https:") && !metadata.jwks_uri.starts_with("https:") {
            return Err(malformed("its jwks_uri is not https"));
        }
        let jwks: Jwks = fetcher.json(&metadata.jwks_uri).await?;
        // An issuer may have keys for other purposes, and of kinds that are not known here.
        let jwks =
            jwks.keys.into_iter().take(MAX_KEYS).filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys = jwks.filter_map(VerifyingKey::read).collect();
        Ok(Self { issuer: metadata.issuer, keys, verified: Verified::default() })
    }

    /// Whether the issuer signed the token.
    pub(super) fn signed(&self, token: &Token<'_>) -> Result<bool, JwtError> {
        let key = self.key(token)?;
        let check = || key.verifies(token.algorithm, token.message.as_bytes(), &token.signature);
        Ok(self.verified.or_check(token.text, check))
    }

    /// The key for a token. A token that names none must leave no choice.
    fn key(&self, token: &Token<'_>) -> Result<&VerifyingKey, JwtError> {
        let named = |key: &&VerifyingKey| token.kid.is_none() || key.kid == token.kid;
        let mut fitting = self.keys.iter().filter(named).filter(|key| key.fits(token.algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) if self.keys.iter().any(|key| named(&key)) => Err(JwtError::Algorithm),
            _ => Err(JwtError::UnknownKey),
        }
    }
}

/// Whether metadata at this URL may be of this issuer, who is its beginning; what follows the well-known
/// part is the issuer's path (RFC 8414, 3.1). Whether an issuer's name ends in a slash is its own affair.
fn is_of(discovery_url: &str, issuer: &str) -> bool {
    let Some((base, rest)) = discovery_url.split_once(WELL_KNOWN) else { return false };
    let path = rest.find('/').map_or("", |from| &rest[from..]);
    issuer.strip_suffix('/').unwrap_or(issuer) == format!("{base}{path}")
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn an_issuer_speaks_for_itself_alone() {
        for (url, issuer) in [
            ("https://id.example/.well-known/openid-configuration", "https://id.example"),
            ("https://id.example/.well-known/openid-configuration", "https://id.example/"),
            ("https://id.example/tenant/.well-known/openid-configuration", "https://id.example/tenant"),
            ("https://id.example/.well-known/oauth-authorization-server/a/b", "https://id.example/a/b"),
        ] {
            assert!(is_of(url, issuer), "{url} {issuer}");
            for other in ["https://id.example/other", "https://evil.example", "https://id.example//", ""] {
                assert!(!is_of(url, other), "{url} {other}");
            }
        }
        let odd = "https://evil.example/.well-known/openid-configuration/.well-known/id.example";
        assert!(!is_of(odd, "https://id.example"));
    }
}
