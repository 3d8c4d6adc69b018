//! The algorithms that are known, and the keys that go with them.

use ring::signature::{self as ring_signature, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use super::token::decode;

/// A way to sign that has a public key: whoever checks a token can never make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// One key of a JWKS, as it is written.
#[derive(Debug, Deserialize)]
pub(super) struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A key that tokens can be checked with.
#[derive(Debug)]
pub(super) struct VerifyingKey {
    pub(super) kid: Option<String>,
    /// The one algorithm that the issuer says it is for, if it does.
    declared: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl VerifyingKey {
    /// The key, if it is one for signatures of a kind that is known here.
    pub(super) fn read(jwk: Jwk) -> Option<Self> {
        let signs = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        if !signs {
            return None;
        }
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", None) => Material::Rsa { n: number(&jwk.n?)?, e: number(&jwk.e?)? },
            ("EC", Some("P-256")) => Material::P256(point::<32>(&jwk.x?, &jwk.y?)?),
            ("EC", Some("P-384")) => Material::P384(point::<48>(&jwk.x?, &jwk.y?)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(decode(&jwk.x?).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        let declared = match jwk.alg {
            // One that is not known here: this key is for something else.
            Some(alg) => Some(serde_json::from_value(alg.into()).ok()?),
            None => None,
        };
        let key = Self { kid: jwk.kid, declared, material };
        key.declared.is_none_or(|declared| key.fits(declared)).then_some(key)
    }

    /// Whether tokens of that algorithm may be checked with it.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let kind = match self.material {
            Material::Rsa { .. } => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Material::P256(_) => algorithm == ES256,
            Material::P384(_) => algorithm == ES384,
            Material::Ed25519(_) => algorithm == EdDSA,
        };
        kind && self.declared.is_none_or(|declared| declared == algorithm)
    }

    /// Whether `signature` is this key's for `message`.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let plain = |algorithm: &'static dyn ring_signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match &self.material {
            Material::P256(key) => plain(&ring_signature::ECDSA_P256_SHA256_FIXED, key),
            Material::P384(key) => plain(&ring_signature::ECDSA_P384_SHA384_FIXED, key),
            Material::Ed25519(key) => plain(&ring_signature::ED25519, key),
            Material::Rsa { n, e } => {
                let parameters = match algorithm {
                    Algorithm::RS256 => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RS384 => &ring_signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RS512 => &ring_signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::PS256 => &ring_signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::PS384 => &ring_signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::PS512 => &ring_signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
        }
    }
}

/// A number without the zeros that some issuers put before it.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = decode(text)?;
    let start = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[start..].to_vec())
}

/// A point of a curve, uncompressed.
fn point<const N: usize>(x: &str, y: &str) -> Option<Vec<u8>> {
    let (x, y) = (decode(x)?, decode(y)?);
    (x.len() == N && y.len() == N).then(|| [&[4][..], &x, &y].concat())
}
