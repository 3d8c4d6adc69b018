//! A claim that can be compared with the truth.

use hmac::Mac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::claim::Claim;
use super::encoding::push_hex;
use super::payload::last_lines;
use super::{ALGORITHM, Payload, PayloadRule, SigV4Error, SigningSecret};

/// A request that claims to be signed, with everything checked that needs no secret.
#[derive(Debug)]
pub struct Signed {
    claim: Claim,
    canonical: Vec<u8>,
    payload: PayloadRule,
}

impl Signed {
    pub(crate) fn new(claim: Claim, canonical: Vec<u8>, payload: PayloadRule) -> Self {
        Self { claim, canonical, payload }
    }

    /// The id of the key whose secret it claims to be signed with.
    pub fn access_key_id(&self) -> &str {
        &self.claim.credential.access_key_id
    }

    /// What it says about its body.
    pub fn payload(&self) -> PayloadRule {
        self.payload
    }

    /// Compares the signature with the right one, in constant time.
    ///
    /// # Errors
    /// The signature is not the right one, or the body is not the one that was signed.
    pub fn verify(&self, secret: &SigningSecret, payload: Payload) -> Result<(), SigV4Error> {
        for last_line in
            last_lines(self.payload, payload, self.claim.expires.is_some())?.into_iter().flatten()
        {
            let right = self.signature(secret, &last_line);
            if bool::from(right.ct_eq(&self.claim.signature)) {
                return Ok(());
            }
        }
        Err(SigV4Error::Mismatch)
    }

    /// The signature that the request should have.
    fn signature(&self, secret: &SigningSecret, last_line: &[u8]) -> [u8; 32] {
        let scope = &self.claim.credential;
        let canonical = Sha256::new().chain_update(&self.canonical).chain_update(last_line).finalize();
        let mut to_sign = Vec::with_capacity(192);
        for part in [ALGORITHM, "\n", &self.claim.timestamp, "\n", &scope.date, "/", &scope.region, "/"] {
            to_sign.extend_from_slice(part.as_bytes());
        }
        to_sign.extend_from_slice(scope.service.as_bytes());
        to_sign.extend_from_slice(b"/aws4_request\n");
        push_hex(&mut to_sign, &canonical);
        let mut hmac = secret.signing_key(&scope.date, &scope.region, &scope.service);
        hmac.update(&to_sign);
        hmac.finalize().into_bytes().into()
    }
}
