//! What an issuer says of itself: its name and its keys.

use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{Jwk, VerifyingKey};
use super::error::JwtError;
use super::fetch::{FetchError, Fetcher};
use super::token::Token;
use super::verified::Verified;

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
