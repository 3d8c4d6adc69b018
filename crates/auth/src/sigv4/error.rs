//! Why a signature is not accepted, in the words that AWS's own endpoints use where they have some.

/// Why a signature is not accepted. Safe to tell the caller: nothing in it depends on a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigV4Error {
    /// There is no signature.
    #[error("Missing Authentication Token")]
    Missing,
    /// There are two, and it is not said which one counts.
    #[error(
        "Request is signed more than once: send one Authorization header or one presigned query, not both"
    )]
    TwoSignatures,
    /// A part of the Authorization header or of the presigned query is not there, or there twice.
    #[error("Authorization requires exactly one '{0}' parameter.")]
    Incomplete(&'static str),
    /// A part of it cannot be read.
    #[error("'{0}' is not valid: {1}")]
    Malformed(&'static str, &'static str),
    /// There is no such access key, and it is a temporary one of AWS's.
    #[error(
        "The security token included in the request is invalid. This host knows no temporary credentials of AWS's: \
             use an access key of `agentcore keys create`."
    )]
    SecurityToken,
    /// There is no such access key, or it was revoked.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// Signed for another region.
    #[error("Credential should be scoped to a valid region: '{0}'.")]
    WrongRegion(String),
    /// Signed for another service.
    #[error("Credential should be scoped to correct service: '{0}'.")]
    WrongService(String),
    /// The scope names another day than the request.
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             '{scope}' != '{}', from '{request}'.",
        .request.get(..8).unwrap_or_default()
    )]
    ScopeDate {
        /// The day in the scope.
        scope: String,
        /// The time of the request.
        request: String,
    },
    /// Made too long ago.
    #[error("Signature expired: {signed} is now earlier than {earliest} ({now} - 5 min.)")]
    Expired {
        /// When it was signed.
        signed: String,
        /// The earliest time that is accepted now.
        earliest: String,
        /// The host's time.
        now: String,
    },
    /// The URL was good for some time, which is over.
    #[error("Signature expired: the presigned URL of {signed} was good for {seconds} s, and now is {now}")]
    PresignedExpired {
        /// When it was signed.
        signed: String,
        /// For how long it was good.
        seconds: u64,
        /// The host's time.
        now: String,
    },
    /// Made in the future.
    #[error("Signature not yet current: {signed} is still later than {latest} ({now} + 5 min.)")]
    NotYetCurrent {
        /// When it was signed.
        signed: String,
        /// The latest time that is accepted now.
        latest: String,
        /// The host's time.
        now: String,
    },
    /// A presigned URL is good for too long.
    #[error("X-Amz-Expires must be between 1 and {0} seconds")]
    ExpiresRange(u64),
    /// A header that has to be signed is not.
    #[error("'{0}' must be a 'SignedHeader' in the AWS Authorization.")]
    UnsignedHeader(String),
    /// A header is said to be signed, and is not there.
    #[error("The signed header '{0}' is not in the request.")]
    AbsentHeader(String),
    /// The path has more than one spelling.
    #[error(
        "The path must not have empty, '.' or '..' segments: they are signed in another spelling than sent."
    )]
    AmbiguousPath,
    /// The body is hashed in a way that is not known here.
    #[error("'{0}' is not supported as x-amz-content-sha256: sign the SHA-256 of the whole body.")]
    PayloadKind(String),
    /// The body is not the one that was signed, as the header that names its hash shows.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    PayloadMismatch,
    /// The signature is not the right one.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
}
