//! The presigned query: the same claim, as `X-Amz-...` parameters.

use std::borrow::Cow;

use http::header::UPGRADE;
use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::claim::{Claim, Spelled};
use super::{Head, MAX_EXPIRES_SECONDS, MAX_WEBSOCKET_EXPIRES_SECONDS, SigV4Error};

/// The parameter that is no part of what is signed.
pub(crate) const SIGNATURE: &str = "X-Amz-Signature";
const ALGORITHM: &str = "X-Amz-Algorithm";
const SECURITY_TOKEN: &str = "X-Amz-Security-Token";

/// The query's parameters, decoded the way the handlers decode them: a plus is a space.
pub(crate) fn parameters(uri: &Uri) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    spelled(uri).map(|(name, value)| (decode(name), decode(value)))
}

/// The query's parameters as they are spelled.
fn spelled(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn decode(text: &str) -> Cow<'_, [u8]> {
    if text.contains('+') {
        return Cow::Owned(percent_decode_str(&text.replace('+', " ")).collect());
    }
    percent_decode_str(text).into()
}

/// Whether a request claims to be presigned.
pub(crate) fn is_presigned(uri: &Uri) -> bool {
    let telling = |name: &[u8]| name == SIGNATURE.as_bytes() || name == ALGORITHM.as_bytes();
    spelled(uri).any(|(name, _)| telling(&decode(name)))
}

/// Whether there is a session token among the parameters.
pub(super) fn has_session_token(uri: &Uri) -> bool {
    spelled(uri).any(|(name, _)| *decode(name) == *SECURITY_TOKEN.as_bytes())
}

/// Reads the claim of a presigned request.
pub(crate) fn read(head: &Head<'_>) -> Result<Claim, SigV4Error> {
    let required = |name| find(head.uri, name)?.ok_or(SigV4Error::Incomplete(name));
    let longest = if opens_websocket(head) { MAX_WEBSOCKET_EXPIRES_SECONDS } else { MAX_EXPIRES_SECONDS };
    let expires = required("X-Amz-Expires")?;
    let digits = expires.bytes().all(|byte| byte.is_ascii_digit());
    let expires = expires.parse().ok().filter(|seconds| digits && (1..=longest).contains(seconds));
    Claim::read(&Spelled {
        algorithm: &required(ALGORITHM)?,
        credential: &required("X-Amz-Credential")?,
        timestamp: &required("X-Amz-Date")?,
        expires: Some(expires.ok_or(SigV4Error::ExpiresRange(longest))?),
        signed_headers: &required("X-Amz-SignedHeaders")?,
        signature: &required(SIGNATURE)?,
    })
}

/// The parameter of that name, which must not be there twice.
pub(super) fn find(uri: &Uri, name: &'static str) -> Result<Option<String>, SigV4Error> {
    let named = spelled(uri).filter(|(one, _)| *decode(one) == *name.as_bytes());
    let mut values = named.map(|(_, value)| decode(value));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(SigV4Error::Incomplete(name)),
        (Some(value), None) => String::from_utf8(value.into_owned())
            .map(Some)
            .map_err(|_| SigV4Error::Malformed(name, "it is not plain text")),
    }
}

fn opens_websocket(head: &Head<'_>) -> bool {
    let websocket = |value: &http::HeaderValue| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case("websocket")))
    };
    head.method == Method::GET && head.headers.get_all(UPGRADE).iter().any(websocket)
}
