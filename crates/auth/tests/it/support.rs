//! What the tests share.

use agentcore_auth::sigv4::{Head, Payload, SigV4Error, SigningSecret, Verifier};
use agentcore_protocol::Timestamp;
use http::Request;
use sha2::{Digest, Sha256};

/// 2015-08-30T12:36:00Z, the time of AWS's vectors.
pub(crate) const VECTOR_TIME: u64 = 1_440_938_160;

/// A point in time.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(seconds * 1000)
}

/// What the verifier says of a request.
pub(crate) fn judge(
    verifier: &Verifier,
    secret: &str,
    request: &Request<Vec<u8>>,
    now: u64,
) -> Result<(), SigV4Error> {
    let head = Head { method: request.method(), uri: request.uri(), headers: request.headers() };
    let signed = verifier.read(&head, at(now))?;
    let hash = Sha256::digest(request.body()).into();
    signed.verify(&SigningSecret::new(secret.to_owned()), Payload::Sha256(hash))
}
