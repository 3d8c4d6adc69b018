//! The right signature of a request, computed a second time: from AWS's description, as plainly as
//! it can be, and with nothing of the code that is tested.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use sha2::{Digest, Sha256};

/// What a request says about its signature, wherever it says it.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) presigned: bool,
    pub(super) credential: String,
    pub(super) date: String,
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: String,
}

impl Claimed {
    /// `None` if the request does not say all of it.
    pub(super) fn of(request: &Request<Vec<u8>>) -> Option<Self> {
        let query: BTreeMap<_, _> = parameters(request).into_iter().collect();
        let presigned = !request.headers().contains_key("authorization");
        let (said, date): (BTreeMap<String, String>, _) = if presigned {
            let named = |name: &str| query.get(format!("X-Amz-{name}").as_bytes()).map(|value| text(value));
            let names = ["Credential", "SignedHeaders", "Signature"];
            let said = names.map(|name| Some((name.to_owned(), named(name)?)));
            (said.into_iter().collect::<Option<_>>()?, named("Date")?)
        } else {
            let header = header(request, "authorization")?;
            let (_, said) = header.split_once(' ')?;
            let pairs = said.split(',').filter_map(|part| part.trim().split_once('='));
            let said = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            (said, header_or_empty(request, "x-amz-date"))
        };
        Some(Self {
            presigned,
            credential: said.get("Credential")?.clone(),
            date,
            signed_headers: said.get("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: said.get("Signature")?.clone(),
        })
    }

    /// The signatures that would be right for the request: more than one only for a presigned URL,
    /// whose body some clients sign and others do not.
    pub(super) fn right(&self, request: &Request<Vec<u8>>, secret: &str) -> Vec<String> {
        let hash = hex(&Sha256::digest(request.body()));
        let declared = parameters(request).into_iter().find(|(name, _)| name == b"X-Amz-Content-Sha256");
        let declared = header(request, "x-amz-content-sha256").or(declared.map(|(_, value)| text(&value)));
        let payloads = match (declared, self.presigned) {
            (Some(declared), _) => vec![declared],
            (None, false) => vec![hash],
            (None, true) => vec![hash, "UNSIGNED-PAYLOAD".to_owned()],
        };
        payloads.iter().map(|payload| self.signature_with(request, secret, payload)).collect()
    }

    fn signature_with(&self, request: &Request<Vec<u8>>, secret: &str, payload: &str) -> String {
        let mut pairs: Vec<_> = parameters(request)
            .into_iter()
            .filter(|(name, _)| name != b"X-Amz-Signature")
            .map(|(name, value)| (encode(&name, ""), encode(&value, "")))
            .collect();
        pairs.sort();
        let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers: String = self
            .signed_headers
            .iter()
            .map(|name| format!("{name}:{}\n", header_or_empty(request, name)))
            .collect();
        let canonical = [
            request.method().as_str(),
            &encode(request.uri().path().as_bytes(), "/"),
            &query.join("&"),
            &headers,
            &self.signed_headers.join(";"),
            payload,
        ]
        .join("\n");
        let (_, scope) = self.credential.split_once('/').unwrap_or_default();
        let hash = hex(&Sha256::digest(canonical));
        let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hash}", self.date);
        let key = scope
            .split('/')
            .fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
        hex(&hmac(&key, to_sign.as_bytes()))
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn encode(bytes: &[u8], kept: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.as_bytes().contains(&byte);
    bytes
        .iter()
        .map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// All values of a header, each with its white space folded.
fn header(request: &Request<Vec<u8>>, name: &str) -> Option<String> {
    let fold = |value: &http::HeaderValue| {
        text(value.as_bytes()).split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    let values: Vec<_> = request.headers().get_all(name).iter().map(fold).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn header_or_empty(request: &Request<Vec<u8>>, name: &str) -> String {
    header(request, name).unwrap_or_default()
}

/// The query's parameters, decoded.
pub(super) fn parameters(request: &Request<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decode =
        |part: &str| percent_encoding::percent_decode_str(&part.replace('+', " ")).collect::<Vec<u8>>();
    let query = request.uri().query().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
