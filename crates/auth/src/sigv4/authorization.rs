//! The Authorization header: `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::claim::{Claim, Spelled};
use super::{ALGORITHM, Head, SigV4Error};

const X_AMZ_DATE: &str = "x-amz-date";

/// Whether an Authorization header is about SigV4 or one of its relatives.
pub(crate) fn is_sigv4(value: &HeaderValue) -> bool {
    value.as_bytes().get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"AWS4"))
}

/// Reads the claim of a request that has the header.
pub(crate) fn read(head: &Head<'_>) -> Result<Claim, SigV4Error> {
    let header = single(head.headers, AUTHORIZATION.as_str(), "Authorization")?;
    let (algorithm, rest) = header.split_once(' ').unwrap_or((header, ""));
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in rest.split(',') {
        let (name, value) = part.trim().split_once('=').unwrap_or((part, ""));
        let (place, name) = match name {
            "Credential" => (&mut credential, "Credential"),
            "SignedHeaders" => (&mut signed_headers, "SignedHeaders"),
            "Signature" => (&mut signature, "Signature"),
            _ if algorithm != ALGORITHM => continue,
            _ => return Err(SigV4Error::Malformed("Authorization", "it has a parameter that is not known")),
        };
        if place.replace(value).is_some() {
            return Err(SigV4Error::Incomplete(name));
        }
    }
    Claim::read(&Spelled {
        algorithm,
        credential: credential.ok_or(SigV4Error::Incomplete("Credential"))?,
        timestamp: single(head.headers, X_AMZ_DATE, "X-Amz-Date")?,
        expires: None,
        signed_headers: signed_headers.ok_or(SigV4Error::Incomplete("SignedHeaders"))?,
        signature: signature.ok_or(SigV4Error::Incomplete("Signature"))?,
    })
}

/// The header of that name, which must be there once: of two, somebody behind us might read the
/// other one.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &str,
    told_as: &'static str,
) -> Result<&'a str, SigV4Error> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(SigV4Error::Incomplete(told_as));
    };
    value.to_str().map_err(|_| SigV4Error::Malformed(told_as, "it is not plain text"))
}
