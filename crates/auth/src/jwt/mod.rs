//! JSON Web Tokens, as `customJWTAuthorizer` has them checked.
//!
//! [`JwtConfiguration`] is what the API says; [`JwtAuthorizer`] fetches the issuer's metadata and
//! keys, keeps them, and judges tokens. Which algorithm a token may have is decided by the key it
//! is checked with, never by the token: there is no `none` and no HMAC here at all.

mod algorithm;
mod authorizer;
mod claims;
mod configuration;
mod error;
mod fetch;
mod provider;
mod token;
mod verified;

pub use authorizer::JwtAuthorizer;
pub use configuration::{
    ClaimMatch, ClaimOperator, ClaimValueType, CustomClaim, InvalidJwtConfiguration, JwtConfiguration,
    MatchValue,
};
pub use error::JwtError;
pub use fetch::{FetchError, Fetcher};
