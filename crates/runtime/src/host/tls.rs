//! TLS on the host's socket: http/1.1 alone, with a certificate that may be renewed meanwhile.

mod certificate;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::Clock;
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use certificate::Renewable;
pub use certificate::TlsError;

/// Most connections that shake hands at once. Those who come then are let go: somebody holds them.
const MAX_HANDSHAKES: usize = 1_024;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether the certificate was renewed.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// The server speaks nothing newer.
const ALPN: &[u8] = b"http/1.1";

/// Where the host's certificate is. Both files are looked at every ten seconds: one that was renewed
/// is served from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// A PEM file with the certificate, and those that lead from it to the root.
    pub cert: PathBuf,
    /// A PEM file with the certificate's private key.
    pub key: PathBuf,
}

/// Shakes hands with those who connect. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    handshakes: Arc<Semaphore>,
    certificate: Arc<Renewable>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("{MAX_HANDSHAKES} others shake hands already")]
    TooMany,
    #[error("the handshake took more than {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TooSlow,
    #[error("the handshake failed: {0}")]
    Failed(#[from] io::Error),
}

impl Tls {
    /// Reads the certificate, and fails unless it can be served with now.
    pub(super) fn open(options: &TlsOptions, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let certificate = Arc::new(Renewable::read(options.clone(), clock)?);
        let mut config = ServerConfig::builder_with_provider(certificate::provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![ALPN.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { acceptor, handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)), certificate })
    }

    /// Shakes hands.
    pub(super) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let _turn = self.handshakes.try_acquire().map_err(|_| HandshakeError::TooMany)?;
        let shaken = timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await;
        Ok(shaken.map_err(|_| HandshakeError::TooSlow)??)
    }

    /// Takes renewed certificates over, for as long as it is polled.
    pub(super) async fn keep_renewed(self) {
        let mut looks = interval(LOOK_INTERVAL);
        loop {
            looks.tick().await;
            let certificate = self.certificate.clone();
            // The files may be on a disk that is slow, or gone.
            match tokio::task::spawn_blocking(move || certificate.renew()).await {
                Ok(Err(error)) => {
                    tracing::warn!(error = %error, "the new certificate is not used; the old one is");
                }
                Ok(Ok(true)) => tracing::info!("serving with a new certificate"),
                Ok(Ok(false)) | Err(_) => {}
            }
        }
    }
}
