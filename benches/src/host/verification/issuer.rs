//! An identity provider on a loopback socket, with one key.

use agentcore_protocol::Timestamp;
use anyhow::anyhow;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// With which curve tokens are signed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Algorithm {
    Es256,
    /// The one that takes longest to verify.
    Es384,
}

impl Algorithm {
    pub(super) const ALL: [Self; 2] = [Self::Es256, Self::Es384];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        }
    }

    fn curve(self) -> (&'static EcdsaSigningAlgorithm, &'static str) {
        match self {
            Self::Es256 => (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            Self::Es384 => (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
        }
    }

    fn header(self) -> Header {
        Header::new(match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
        })
    }
}

/// The provider.
pub(super) struct Issuer {
    url: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Issuer {
    pub(super) async fn start(algorithm: Algorithm) -> anyhow::Result<Self> {
        let (signing, curve) = algorithm.curve();
        let random = SystemRandom::new();
        let private = EcdsaKeyPair::generate_pkcs8(signing, &random).map_err(|error| anyhow!("{error}"))?;
        let pair = EcdsaKeyPair::from_pkcs8(signing, private.as_ref(), &random);
        let pair = pair.map_err(|error| anyhow!("{error}"))?;
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let text = |part| URL_SAFE_NO_PAD.encode(part);
        let jwk = json!({"kty": "EC", "crv": curve, "use": "sig", "x": text(x), "y": text(y)});
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let metadata = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        tokio::spawn(serve(listener, metadata, json!({ "keys": [jwk] })));
        Ok(Self { url, algorithm, key: EncodingKey::from_ec_der(private.as_ref()) })
    }

    pub(super) fn discovery_url(&self) -> String {
        format!("{}{DISCOVERY}", self.url)
    }

    /// A token like no other.
    pub(super) fn token(&self, number: usize, now: Timestamp) -> anyhow::Result<String> {
        let expires = now.unix_millis() / 1_000 + 3_600;
        let claims = json!({"iss": self.url, "sub": "bench", "aud": "writer", "exp": expires, "jti": number});
        Ok(jsonwebtoken::encode(&self.algorithm.header(), &claims, &self.key)?)
    }
}

async fn serve(listener: TcpListener, metadata: Value, keys: Value) {
    while let Ok((stream, _)) = listener.accept().await {
        // Whoever gets no answer says so.
        let _ = answer(stream, &metadata, &keys).await;
    }
}

async fn answer(mut stream: TcpStream, metadata: &Value, keys: &Value) -> std::io::Result<()> {
    let mut head = vec![0; 4_096];
    let read = stream.read(&mut head).await?;
    let asks_metadata = String::from_utf8_lossy(&head[..read]).contains(DISCOVERY);
    let body = if asks_metadata { metadata } else { keys }.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    stream.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await
}
