//! The parts of a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::JwtError;

/// Longer tokens are no issuer's.
pub(super) const MAX_BYTES: usize = 16 * 1024;

/// A token whose signature is still to be checked.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// All of it, as it came.
    pub(super) text: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// What is signed: header and claims as they are written.
    pub(super) message: &'a str,
    claims: &'a str,
    pub(super) signature: Vec<u8>,
}

/// What a token's header may say. Keys that come with it, or addresses of keys, are never looked at.
#[derive(Deserialize)]
struct Header {
    alg: Value,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, JwtError> {
        if text.len() > MAX_BYTES {
            return Err(JwtError::Malformed);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(JwtError::Malformed)?;
        if claims.contains('.') {
            return Err(JwtError::Malformed);
        }
        let header = decode(header).ok_or(JwtError::Malformed)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| JwtError::Malformed)?;
        if header.crit.is_some() {
            // Something the token must not be accepted without, and that is not known here.
            return Err(JwtError::Malformed);
        }
        let algorithm = serde_json::from_value(header.alg).map_err(|_| JwtError::Algorithm)?;
        let signature = decode(signature).ok_or(JwtError::Malformed)?;
        Ok(Self { text, algorithm, kid: header.kid, message, claims, signature })
    }

    /// What the token says, for whoever has checked its signature.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, JwtError> {
        let claims = decode(self.claims).ok_or(JwtError::Malformed)?;
        serde_json::from_slice(&claims).map_err(|_| JwtError::Malformed)
    }
}

/// Decodes base64 as tokens have it: URL-safe, unpadded, one spelling for each content.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
