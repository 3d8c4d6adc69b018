//! Why a token is not accepted.

use super::fetch::FetchError;

/// Why a token is not accepted. Safe to tell the caller, but for [`JwtError::Issuer`].
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// Not a signed token, or too long.
    #[error("Invalid Bearer token: it is no signed JSON Web Token")]
    Malformed,
    /// An algorithm that is not known here, or not the one of the key.
    #[error("Invalid Bearer token: its algorithm is not the one of the issuer's key")]
    Algorithm,
    /// The issuer has no such key.
    #[error("Invalid Bearer token: the issuer has no such key")]
    UnknownKey,
    /// The signature is wrong.
    #[error("Invalid Bearer token: its signature is wrong")]
    Signature,
    /// It is over.
    #[error("Token has expired")]
    Expired,
    /// It is not yet good.
    #[error("Token is not yet valid")]
    NotYetValid,
    /// A claim is not there, or of another type.
    #[error("Claim '{0}' is missing or malformed")]
    MissingClaim(&'static str),
    /// A claim is not what the configuration asks for.
    #[error("Claim '{0}' value mismatch with configuration.")]
    Claim(String),
    /// The issuer's metadata or keys cannot be had.
    #[error("the token's issuer cannot be asked for its keys")]
    Issuer(#[source] FetchError),
}

impl JwtError {
    /// Whether the token is good, and its bearer still may not call.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Claim(claim) if claim != "iss" && claim != "aud")
    }
}
