//! AWS's Signature Version 4, from the side that checks it.
//!
//! A request is judged in two steps, because the body comes last: [`Verifier::read`] takes what the
//! head claims and refuses whatever no secret could make right (wrong scope, too old, headers left
//! unsigned), and [`Signed::verify`] compares the signature once the body's SHA-256 is known.
//! In between, the caller of this module finds the secret of [`Signed::access_key_id`].

mod amz_date;
mod authorization;
mod canonical;
mod claim;
mod encoding;
mod error;
mod payload;
mod presigned;
mod secret;
mod signed;

use agentcore_protocol::Timestamp;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Uri};

pub use error::SigV4Error;
pub use payload::{Payload, PayloadRule};
pub use secret::SigningSecret;
pub use signed::Signed;

use claim::Claim;

/// The service name that AWS's clients sign for, data plane and control plane alike.
pub const SERVICE: &str = "bedrock-agentcore";
/// The only algorithm that is known here.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a caller's clock may be off.
pub const MAX_SKEW_SECONDS: u64 = 300;
/// For how long a presigned URL may be good.
pub const MAX_EXPIRES_SECONDS: u64 = 7 * 24 * 3600;
/// For how long a presigned URL that opens a WebSocket may be good.
pub const MAX_WEBSOCKET_EXPIRES_SECONDS: u64 = 300;

/// The parts of a request that a signature is about. The body is not among them.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target, as it came over the wire.
    pub uri: &'a Uri,
    /// The headers.
    pub headers: &'a HeaderMap,
}

impl<'a> From<&'a http::request::Parts> for Head<'a> {
    fn from(parts: &'a http::request::Parts) -> Self {
        Self { method: &parts.method, uri: &parts.uri, headers: &parts.headers }
    }
}

/// Checks signatures for one region and one service.
#[derive(Debug, Clone)]
pub struct Verifier {
    region: String,
    service: String,
}

impl Verifier {
    /// A verifier for requests signed for `region` and AgentCore's service name.
    pub fn new(region: impl Into<String>) -> Self {
        Self::for_service(region, SERVICE)
    }

    /// A verifier for requests signed for another service.
    pub fn for_service(region: impl Into<String>, service: impl Into<String>) -> Self {
        Self { region: region.into(), service: service.into() }
    }

    /// Whether a request claims to be signed, rightly or not.
    pub fn is_signed(head: &Head<'_>) -> bool {
        let has_header = head.headers.get_all(AUTHORIZATION).iter().any(authorization::is_sigv4);
        has_header || presigned::is_presigned(head.uri)
    }

    /// Whether a request brings a session token. Keys of a host have none, but most ways to hand a key to
    /// AWS's clients ask for one: it is signed like anything else, and means nothing.
    pub fn has_session_token(head: &Head<'_>) -> bool {
        head.headers.contains_key("x-amz-security-token") || presigned::has_session_token(head.uri)
    }

    /// The id of the key that a request claims to be signed with, rightly or not.
    pub fn claimed_key(head: &Head<'_>) -> Option<String> {
        let claim =
            if presigned::is_presigned(head.uri) { presigned::read(head) } else { authorization::read(head) };
        claim.ok().map(|claim| claim.credential.access_key_id)
    }

    /// Reads what a request's head claims, and refuses what no secret could make right.
    ///
    /// # Errors
    /// The claim is incomplete, ambiguous, out of time, for another region or service, or leaves
    /// unsigned what has to be signed.
    pub fn read(&self, head: &Head<'_>, now: Timestamp) -> Result<Signed, SigV4Error> {
        let claim = match (head.headers.contains_key(AUTHORIZATION), presigned::is_presigned(head.uri)) {
            (true, true) => return Err(SigV4Error::TwoSignatures),
            (true, false) => authorization::read(head)?,
            (false, true) => presigned::read(head)?,
            (false, false) => return Err(SigV4Error::Missing),
        };
        self.check_scope(&claim)?;
        claim.check_time(now)?;
        let payload = PayloadRule::of(head, &claim)?;
        let canonical = canonical::head(head, &claim.signed_headers)?;
        Ok(Signed::new(claim, canonical, payload))
    }

    fn check_scope(&self, claim: &Claim) -> Result<(), SigV4Error> {
        let credential = &claim.credential;
        if credential.service != self.service {
            return Err(SigV4Error::WrongService(self.service.clone()));
        }
        if credential.region != self.region {
            return Err(SigV4Error::WrongRegion(self.region.clone()));
        }
        if credential.date != claim.timestamp[..8] {
            return Err(SigV4Error::ScopeDate {
                scope: credential.date.clone(),
                request: claim.timestamp.clone(),
            });
        }
        Ok(())
    }
}
