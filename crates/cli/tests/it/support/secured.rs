//! A host for others: with TLS, and access keys.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::{Host, Project};

/// A project whose host has a certificate for `localhost` and asks everybody.
pub(crate) struct Secured {
    pub(crate) project: Project,
    host: Host,
    /// The host, by the name in its certificate.
    pub(crate) url: String,
    authority: PathBuf,
}

impl Secured {
    pub(crate) async fn serve() -> Self {
        let project = Project::with_test_agent(&["-n", "agent"]).await;
        let authority = certificate(&project);
        std::fs::create_dir(project.path().join("code")).unwrap();
        let files = ["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--code-root", "code"];
        let host = project.serve(&[&files[..], &["--require-auth", "--on-shutdown", "stop"]].concat()).await;
        let url = host.url.replace("127.0.0.1", "localhost");
        assert!(url.starts_with("https://"), "{url}");
        Self { project, host, url, authority }
    }

    /// The environment of a caller with a new key.
    pub(crate) async fn caller(&self, rights: &[&str]) -> Vec<(&'static str, String)> {
        let create = [&["keys", "create", "--json", "--state", ".agentcore"], rights].concat();
        let key = self.project.json(&create).await;
        let text = |field: &str| key[field].as_str().unwrap().to_owned();
        vec![
            ("AWS_ACCESS_KEY_ID", text("access_key_id")),
            ("AWS_SECRET_ACCESS_KEY", text("secret_access_key")),
            ("AWS_CA_BUNDLE", self.authority.to_str().unwrap().to_owned()),
            ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", self.url.clone()),
            ("AGENTCORE_ENDPOINT", self.url.clone()),
        ]
    }

    pub(crate) async fn end(self) {
        self.host.end(Signal::SIGTERM).await;
        self.project.expect_no_processes().await;
    }
}

/// Writes a certificate for `localhost` and its key, and returns the file with the root.
fn certificate(project: &Project) -> PathBuf {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate that is named like its issuer for a self-signed one.
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Private authority");
    authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate().unwrap();
    project.file("ca.pem", &authority.self_signed(&authority_key).unwrap().pem());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    let signed = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    project.file("cert.pem", &signed.pem());
    project.file("key.pem", &key.serialize_pem());
    project.path().join("ca.pem")
}
