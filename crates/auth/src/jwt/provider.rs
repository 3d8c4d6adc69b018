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
    /// What its tokens say who issued them.
    pub(super) issuer: String,
    /// Who vouches for whom its tokens name: whoever answers at its URL, and nobody else.
    pub(super) authority: String,
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
        let Some(authority) = authority(discovery_url, &metadata.issuer) else {
            return Err(malformed("its URL is that of no issuer"));
        };
        if discovery_url.starts_with("https:") && !metadata.jwks_uri.starts_with("https:") {
            return Err(malformed("its jwks_uri is not https"));
        }
        let jwks: Jwks = fetcher.json(&metadata.jwks_uri).await?;
        // An issuer may have keys for other purposes, and of kinds that are not known here.
        let jwks =
            jwks.keys.into_iter().take(MAX_KEYS).filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys = jwks.filter_map(VerifyingKey::read).collect();
        Ok(Self { issuer: metadata.issuer, authority, keys, verified: Verified::default() })
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

/// Who vouches for the callers that metadata at this URL lets in. It is the issuer, if the URL is of that
/// issuer: its name and the well-known part, with the issuer's path before it or after it (RFC 8414, 3.1).
/// Whether an issuer's name ends in a slash is its own affair.
///
/// Some issuers have their metadata elsewhere (Microsoft Entra's older ones do): then it is the URL. Otherwise
/// whoever may name a URL could speak for any issuer (OpenID Connect Discovery, 4.3).
fn authority(discovery_url: &str, issuer: &str) -> Option<String> {
    let (base, rest) = discovery_url.split_once(WELL_KNOWN)?;
    let path = rest.find('/').map_or("", |from| &rest[from..]);
    let of_url = format!("{base}{path}");
    let is_of = issuer.strip_suffix('/').unwrap_or(issuer) == of_url;
    Some(if is_of { issuer.to_owned() } else { of_url })
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn an_issuer_vouches_for_its_own_callers_alone() {
        for (url, issuer, of_url) in [
            (
                "https://id.example/.well-known/openid-configuration",
                "https://id.example",
                "https://id.example",
            ),
            (
                "https://id.example/.well-known/openid-configuration",
                "https://id.example/",
                "https://id.example",
            ),
            (
                "https://id.example/a/.well-known/openid-configuration",
                "https://id.example/a",
                "https://id.example/a",
            ),
            (
                "https://id.example/.well-known/oauth-authorization-server/a/b",
                "https://id.example/a/b",
                "https://id.example/a/b",
            ),
        ] {
            assert_eq!(authority(url, issuer).as_deref(), Some(issuer), "{url} {issuer}");
            for other in ["https://id.example/other", "https://evil.example", "https://id.example//", ""] {
                assert_eq!(authority(url, other).as_deref(), Some(of_url), "{url} {other}");
            }
        }
        let odd = "https://evil.example/.well-known/openid-configuration/.well-known/id.example";
        let vouching = authority(odd, "https://id.example").unwrap();
        assert!(vouching.starts_with("https://evil.example/"), "{vouching}");
        assert_eq!(authority("https://id.example/", "https://id.example"), None);
    }
}
