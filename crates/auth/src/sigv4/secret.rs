//! The secret of an access key, and the signing keys that follow from it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// How many derived keys are kept for each secret. One is in use at a time, two around midnight.
const KEPT: usize = 4;

pub(crate) type HmacSha256 = Hmac<Sha256>;

/// The secret of an access key. Never shown, overwritten when it is dropped.
///
/// It keeps the signing keys derived from it, so that a signature costs one HMAC instead of five, and
/// so that they are gone with it.
pub struct SigningSecret {
    secret: Zeroizing<String>,
    derived: Mutex<Vec<Arc<DerivedKey>>>,
}

/// A signing key: good for one day, one region and one service.
struct DerivedKey {
    date: String,
    region: String,
    service: String,
    /// With the key already mixed in.
    hmac: HmacSha256,
}

impl SigningSecret {
    /// Takes a secret over.
    pub fn new(secret: impl Into<Zeroizing<String>>) -> Self {
        Self { secret: secret.into(), derived: Mutex::default() }
    }

    /// The secret itself: to encrypt it, or to show it to whoever made it.
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// An HMAC keyed for a day, a region and a service.
    pub(crate) fn signing_key(&self, date: &str, region: &str, service: &str) -> HmacSha256 {
        // What a panic could leave behind is a cache that is still right.
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |key: &&Arc<DerivedKey>| key.date == date && key.region == region && key.service == service;
        if let Some(key) = derived.iter().find(fits) {
            return key.hmac.clone();
        }
        let hmac = self.derive(date, region, service);
        if derived.len() == KEPT {
            derived.remove(0);
        }
        let text = str::to_owned;
        let (date, region, service) = (text(date), text(region), text(service));
        derived.push(Arc::new(DerivedKey { date, region, service, hmac: hmac.clone() }));
        hmac
    }

    fn derive(&self, date: &str, region: &str, service: &str) -> HmacSha256 {
        let mut first = Zeroizing::new(Vec::with_capacity(4 + self.secret.len()));
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(self.secret.as_bytes());
        let mut hmac = keyed(&first);
        for step in [date, region, service, "aws4_request"] {
            hmac.update(step.as_bytes());
            let mut key = hmac.finalize().into_bytes();
            hmac = keyed(&key);
            key.as_mut_slice().zeroize();
        }
        hmac
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of every length")
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(hidden)")
    }
}
