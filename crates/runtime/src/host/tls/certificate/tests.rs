use agentcore_protocol::Timestamp;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
    date_time_ymd,
};
use tempfile::TempDir;

use super::*;

/// The beginning of 2026.
struct NewYear;

impl Clock for NewYear {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(1_767_225_600_000)
    }
}

/// A folder with a certificate that is valid in those years, and its key.
fn files(years: (i32, i32), algorithm: &'static SignatureAlgorithm) -> (TempDir, TlsOptions) {
    let folder = tempfile::tempdir().unwrap();
    let options = TlsOptions { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    write(&options, years, &KeyPair::generate_for(algorithm).unwrap());
    (folder, options)
}

fn write(options: &TlsOptions, (begins, ends): (i32, i32), key: &KeyPair) {
    let mut params = CertificateParams::new(["agents.example".to_owned()]).unwrap();
    params.not_before = date_time_ymd(begins, 1, 1);
    params.not_after = date_time_ymd(ends, 1, 1);
    fs::write(&options.cert, params.self_signed(key).unwrap().pem()).unwrap();
    fs::write(&options.key, key.serialize_pem()).unwrap();
}

fn read(options: &TlsOptions) -> Result<Renewable, TlsError> {
    Renewable::read(options.clone(), Arc::new(NewYear))
}

fn refusal(options: &TlsOptions) -> String {
    read(options).expect_err("it is refused").to_string()
}

fn served(certificate: &Renewable) -> CertificateDer<'static> {
    certificate.served.read().unwrap().key.cert[0].clone()
}

#[test]
fn keys_of_every_usual_kind_are_taken() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let (_folder, options) = files((2025, 2027), algorithm);
        read(&options).unwrap();
    }
    // Nothing at hand makes RSA keys.
    let pem = include_str!("../../../../../auth/tests/keys/rsa-a.pem");
    let (_folder, options) = files((2025, 2027), &PKCS_ECDSA_P256_SHA256);
    write(&options, (2025, 2027), &KeyPair::from_pem_and_sign_algo(pem, &PKCS_RSA_SHA256).unwrap());
    read(&options).unwrap();
}

#[test]
fn what_cannot_be_served_with_says_why_at_the_start() {
    let (_folder, good) = files((2025, 2027), &PKCS_ECDSA_P256_SHA256);
    let (_other, other) = files((2025, 2027), &PKCS_ECDSA_P256_SHA256);
    let mixed = TlsOptions { key: other.key.clone(), ..good.clone() };
    assert!(refusal(&mixed).contains("is not that of the certificate"));
    let swapped = TlsOptions { cert: good.key.clone(), key: good.cert.clone() };
    assert!(refusal(&swapped).contains("holds no certificate in PEM"));
    let twice = TlsOptions { cert: good.cert.clone(), key: good.cert.clone() };
    assert!(refusal(&twice).contains("holds no private key in PEM"));
    let gone = TlsOptions { key: good.key.with_extension("gone"), ..good };
    assert!(refusal(&gone).contains("key.gone: No such file"));
    fs::write(&other.cert, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(refusal(&other).contains("cert.pem cannot be used"));
}

#[test]
fn a_certificate_out_of_its_time_is_refused() {
    let (_folder, old) = files((2024, 2025), &PKCS_ECDSA_P256_SHA256);
    assert!(refusal(&old).contains("has expired 365 days ago: renew it"));
    let (_folder, young) = files((2027, 2028), &PKCS_ECDSA_P256_SHA256);
    assert!(refusal(&young).contains("is not valid for another 365 days"));
}

#[test]
fn a_renewed_certificate_is_taken_over_once_it_can_be_used() {
    let (_folder, options) = files((2025, 2027), &PKCS_ECDSA_P256_SHA256);
    let certificate = read(&options).unwrap();
    let first = served(&certificate);
    assert!(!certificate.renew().unwrap());

    // The key comes after the certificate: in between, they do not belong together.
    let (_new, new) = files((2025, 2028), &PKCS_ECDSA_P256_SHA256);
    fs::rename(&new.cert, &options.cert).unwrap();
    assert!(matches!(certificate.renew(), Err(TlsError::Mismatch { .. })));
    assert_eq!(served(&certificate), first);
    fs::rename(&new.key, &options.key).unwrap();
    assert!(certificate.renew().unwrap());
    assert_ne!(served(&certificate), first);
    fs::remove_file(&options.key).unwrap();
    assert!(certificate.renew().is_err());
}
