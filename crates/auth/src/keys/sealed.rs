//! A secret as it is on disk: encrypted, and bound to the record beside it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{KeyError, KeyRecord, MasterKey, generate};

/// Long enough that random ones never meet.
const NONCE: usize = 24;

/// One key in the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SealedKey {
    #[serde(flatten)]
    pub(super) record: KeyRecord,
    /// Nonce and ciphertext, in base64.
    sealed_secret: String,
}

impl SealedKey {
    pub(super) fn seal(record: KeyRecord, secret: &str, master: &MasterKey) -> Result<Self, KeyError> {
        let nonce = generate::bytes::<NONCE>()?;
        let payload = Payload { msg: secret.as_bytes(), aad: &bound(&record) };
        let sealed = cipher(master).encrypt(&XNonce::from(*nonce), payload);
        let sealed = sealed.map_err(|_| KeyError::Sealed(record.id.clone()))?;
        let sealed_secret = STANDARD.encode([&nonce[..], &sealed].concat());
        Ok(Self { record, sealed_secret })
    }

    pub(super) fn open(&self, master: &MasterKey) -> Result<Zeroizing<String>, KeyError> {
        let failed = || KeyError::Sealed(self.record.id.clone());
        let bytes = STANDARD.decode(&self.sealed_secret).map_err(|_| failed())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or_else(failed)?;
        let payload = Payload { msg: sealed, aad: &bound(&self.record) };
        let opened = cipher(master).decrypt(&XNonce::from(*nonce), payload).map_err(|_| failed())?;
        let opened = Zeroizing::new(opened);
        Ok(Zeroizing::new(std::str::from_utf8(&opened).map_err(|_| failed())?.to_owned()))
    }
}

fn cipher(master: &MasterKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(master.bytes().into())
}

/// What a secret is bound to: all of the record, so that none of it can be changed alone.
fn bound(record: &KeyRecord) -> Vec<u8> {
    // The fields are in a fixed order and the agents sorted: a record has one spelling.
    serde_json::to_vec(record).unwrap_or_default()
}
