//! What stands in for the body in a signature.

use super::authorization::single;
use super::claim::Claim;
use super::encoding::{parse_hex, push_hex};
use super::{Head, SigV4Error, presigned};

const HEADER: &str = "x-amz-content-sha256";
const PARAMETER: &str = "X-Amz-Content-Sha256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// What a request says about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadRule {
    /// Nothing: its hash is part of the signature all the same, so it must be read first.
    Hashed,
    /// Its SHA-256, in a header or a parameter that is signed.
    Declared([u8; 32]),
    /// A presigned URL that is good for any body.
    Unsigned,
}

/// The body, as far as a signature cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// The SHA-256 of all of it.
    Sha256([u8; 32]),
    /// It was not looked at. Only good enough for [`PayloadRule::Unsigned`].
    Unread,
}

impl PayloadRule {
    pub(crate) fn of(head: &Head<'_>, claim: &Claim) -> Result<Self, SigV4Error> {
        let presigned = claim.expires.is_some();
        let parameter = if presigned { presigned::find(head.uri, PARAMETER)? } else { None };
        let declared = match (head.headers.contains_key(HEADER), parameter) {
            (false, None) => return Ok(Self::Hashed),
            (true, None) => single(head.headers, HEADER, HEADER)?.to_owned(),
            (false, Some(parameter)) => parameter,
            (true, Some(_)) => return Err(SigV4Error::Incomplete(HEADER)),
        };
        if declared == UNSIGNED && presigned {
            return Ok(Self::Unsigned);
        }
        parse_hex(&declared).map(Self::Declared).ok_or(SigV4Error::PayloadKind(declared))
    }

    /// Whether the body must be read before the signature can be compared.
    pub fn needs_body(self) -> bool {
        self != Self::Unsigned
    }
}

/// The last lines that a canonical request may have for a body. More than one only where clients
/// disagree: some presign with the hash of an empty body, others without looking at it.
pub(crate) fn last_lines(
    rule: PayloadRule,
    payload: Payload,
    presigned: bool,
) -> Result<[Option<Vec<u8>>; 2], SigV4Error> {
    let hex = |hash: &[u8; 32]| {
        let mut text = Vec::with_capacity(64);
        push_hex(&mut text, hash);
        Some(text)
    };
    let unsigned = || Some(UNSIGNED.as_bytes().to_vec());
    match (rule, payload) {
        (PayloadRule::Unsigned, _) => Ok([unsigned(), None]),
        (PayloadRule::Hashed, Payload::Sha256(hash)) => Ok([hex(&hash), presigned.then(unsigned).flatten()]),
        (PayloadRule::Declared(declared), Payload::Sha256(hash)) if declared == hash => {
            Ok([hex(&hash), None])
        }
        (PayloadRule::Declared(_), _) => Err(SigV4Error::PayloadMismatch),
        (PayloadRule::Hashed, Payload::Unread) => Err(SigV4Error::Mismatch),
    }
}
