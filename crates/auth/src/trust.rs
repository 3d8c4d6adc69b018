//! Whom this program trusts when it is the client of a TLS connection.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

/// Whom to trust.
#[derive(Debug, Clone)]
pub struct Trust(Arc<RootCertStore>);

/// Why a bundle of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{path} holds no certificates in PEM: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl Trust {
    /// Nobody: what speaks plain HTTP needs no more.
    pub fn nobody() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }

    /// Those whom the system trusts. On a system that trusts nobody, that is nobody.
    pub fn of_system() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self(Arc::new(roots))
    }

    /// Those in a PEM file, and nobody else: as AWS's clients take `AWS_CA_BUNDLE`.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn of_bundle(path: &Path) -> Result<Self, TrustError> {
        let bytes = fs::read(path).map_err(|source| TrustError::Read { path: path.to_owned(), source })?;
        let certificates: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
        let malformed = |reason: String| TrustError::Malformed { path: path.to_owned(), reason };
        let certificates = certificates.map_err(|error| malformed(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        match roots.add_parsable_certificates(certificates) {
            (0, _) => Err(malformed("there is none that can be used".to_owned())),
            _ => Ok(Self(Arc::new(roots))),
        }
    }

    /// Those that were chosen, else whom the system trusts if there is TLS: to read who that is takes a while.
    pub fn chosen_or_of_system(chosen: Option<&Self>, has_tls: bool) -> Self {
        match chosen {
            Some(chosen) => chosen.clone(),
            None if has_tls => Self::of_system(),
            None => Self::nobody(),
        }
    }

    /// HTTP/1.1 over a transport, within TLS where the URL says so, with those who are trusted.
    pub fn connector<T>(&self, transport: T) -> HttpsConnector<T> {
        HttpsConnectorBuilder::new()
            .with_tls_config(self.client_config())
            .https_or_http()
            .enable_http1()
            .wrap_connector(transport)
    }

    /// A client that trusts these.
    pub fn client_config(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        #[expect(
            clippy::expect_used,
            reason = "ring has the protocol versions that rustls asks for by default"
        )]
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocol versions");
        config.with_root_certificates(self.0.clone()).with_no_client_auth()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(Trust::of_bundle(&path).unwrap_err().to_string().contains("cannot read"));
        fs::write(&path, "nothing").unwrap();
        let refused = Trust::of_bundle(&path).unwrap_err().to_string();
        assert!(refused.contains("holds no certificates in PEM"), "{refused}");
    }
}
