//! The host's certificate and its key, from files that somebody renews.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use agentcore_protocol::Clock;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::TlsOptions;

/// Why a certificate cannot be served with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}. Name a PEM file that this user may read")]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} holds no {what} in PEM (-----BEGIN {label}-----)")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// How that begins.
        label: &'static str,
    },
    /// What a file holds cannot be understood.
    #[error("{path} cannot be used: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The key is another certificate's.
    #[error("the key in {key} is not that of the certificate in {cert}: name the two that belong together")]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// No client would accept it any more.
    #[error("the certificate in {path} has expired {days} days ago: renew it")]
    Expired {
        /// The file.
        path: PathBuf,
        /// Since when.
        days: u64,
    },
    /// No client would accept it yet.
    #[error("the certificate in {path} is not valid for another {days} days: is this machine's clock right?")]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// From when.
        days: u64,
    },
    /// The library refuses.
    #[error("TLS cannot be used: {0}")]
    Unusable(rustls::Error),
}

/// The cryptography that is used.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// A certificate that is read again when its files change.
pub(super) struct Renewable {
    options: TlsOptions,
    clock: Arc<dyn Clock>,
    served: RwLock<Served>,
}

struct Served {
    key: Arc<CertifiedKey>,
    version: [Version; 2],
}

/// Tells one content of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    file: (u64, u64),
    modified: (i64, i64),
    length: u64,
}

impl Renewable {
    /// Reads it, and fails unless it can be served with now.
    pub(super) fn read(options: TlsOptions, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let version = versions(&options)?;
        let key = certified_key(&options, clock.now().unix_seconds())?;
        Ok(Self { options, clock, served: RwLock::new(Served { key, version }) })
    }

    /// Reads it again if the files are others than before. Whether a new one is served from now on;
    /// one that cannot be used changes nothing.
    pub(super) fn renew(&self) -> Result<bool, TlsError> {
        let version = versions(&self.options)?;
        if self.served.read().unwrap_or_else(PoisonError::into_inner).version == version {
            return Ok(false);
        }
        let key = certified_key(&self.options, self.clock.now().unix_seconds())?;
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Served { key, version };
        Ok(true)
    }
}

impl ResolvesServerCert for Renewable {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.served.read().unwrap_or_else(PoisonError::into_inner).key.clone())
    }
}

impl std::fmt::Debug for Renewable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewable").field("options", &self.options).finish_non_exhaustive()
    }
}

fn versions(options: &TlsOptions) -> Result<[Version; 2], TlsError> {
    let version = |path: &Path| {
        let metadata = fs::metadata(path).map_err(unreadable(path))?;
        Ok(Version {
            file: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            length: metadata.len(),
        })
    };
    Ok([version(&options.cert)?, version(&options.key)?])
}

fn certified_key(options: &TlsOptions, now: u64) -> Result<Arc<CertifiedKey>, TlsError> {
    let TlsOptions { cert, key } = options;
    let malformed = |path: &Path, reason: String| TlsError::Malformed { path: path.to_owned(), reason };
    let chain = chain(cert)?;
    check_validity(cert, &chain[0], now)?;
    let pem = fs::read(key).map_err(unreadable(key))?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            TlsError::Missing { path: key.clone(), what: "private key", label: "PRIVATE KEY" }
        }
        error => malformed(key, error.to_string()),
    })?;
    let signing = any_supported_type(&private).map_err(|error| malformed(key, error.to_string()))?;
    let certified = CertifiedKey::new(chain, signing);
    certified.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { cert: cert.clone(), key: key.clone() },
        error => malformed(cert, error.to_string()),
    })?;
    Ok(Arc::new(certified))
}

/// The certificates of a file, at least one.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = fs::read(path).map_err(unreadable(path))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain =
        chain.map_err(|error| TlsError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    if chain.is_empty() {
        return Err(TlsError::Missing { path: path.to_owned(), what: "certificate", label: "CERTIFICATE" });
    }
    Ok(chain)
}

fn check_validity(path: &Path, certificate: &CertificateDer<'_>, now: u64) -> Result<(), TlsError> {
    const DAY: u64 = 24 * 60 * 60;
    let parsed = Certificate::from_der(certificate)
        .map_err(|error| TlsError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    let validity = parsed.tbs_certificate().validity();
    let begins = validity.not_before.to_unix_duration().as_secs();
    let ends = validity.not_after.to_unix_duration().as_secs();
    let path = path.to_owned();
    if now > ends {
        return Err(TlsError::Expired { path, days: (now - ends) / DAY });
    }
    if now < begins {
        return Err(TlsError::NotYetValid { path, days: (begins - now).div_ceil(DAY) });
    }
    Ok(())
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Read { path, source }
}

#[cfg(test)]
mod tests;
