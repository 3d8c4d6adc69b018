//! The host's socket with TLS.

use std::sync::Arc;
use std::time::Duration;

use agentcore_runtime::{OnShutdown, TlsOptions};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Serving, TestHost, session_id};

/// A host with a certificate for `localhost`, and the root that it leads to.
async fn serve() -> (Serving, CertificateDer<'static>) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap().der().clone();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();

    let host = TestHost::start_with(|options| {
        options.on_shutdown = OnShutdown::Stop;
        options.timeouts.drain = Duration::from_millis(200);
        let [cert, private] = ["cert.pem", "key.pem"].map(|name| options.state.join(name));
        std::fs::write(&cert, certificate.pem()).unwrap();
        std::fs::write(&private, key.serialize_pem()).unwrap();
        options.tls = Some(TlsOptions { cert, key: private });
    })
    .await;
    (host.serve(), root)
}

async fn connect(host: &Serving, root: CertificateDer<'static>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, host.connect().await).await
}

#[tokio::test]
async fn agents_are_invoked_over_tls_and_only_http_1_is_agreed_on() {
    let (host, root) = serve().await;
    let stream = connect(&host, root).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));

    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("/invocations")
        .header("host", "localhost")
        .header("x-amzn-bedrock-agentcore-runtime-session-id", session_id("private"))
        .body(Body::from(r#"{"echo": 1}"#))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    drop(sender);
    host.end().await;
}

#[tokio::test]
async fn who_speaks_plain_http_to_it_or_does_not_trust_it_harms_nobody() {
    let (host, root) = serve().await;
    let mut plain = host.connect().await;
    plain.write_all(b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let (stranger, strangers_root) = serve().await;
    let distrusted = connect(&host, strangers_root).await.unwrap_err();
    assert!(distrusted.to_string().contains("invalid peer certificate"), "{distrusted}");
    connect(&host, root).await.unwrap();
    stranger.end().await;
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end_is_given_up() {
    let (host, _) = serve().await;
    let mut silent = host.connect().await;
    // Paused time jumps to the end of the host's patience.
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
    host.end().await;
}
