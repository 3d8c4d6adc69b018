//! What a request says about its own signature.

use agentcore_protocol::Timestamp;

use super::encoding::parse_hex;
use super::{ALGORITHM, MAX_SKEW_SECONDS, SigV4Error, amz_date};

/// Longer lists of headers are no client's.
const MAX_SIGNED_HEADERS: usize = 100;

/// What a request says about its own signature. Nothing of it is verified yet.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) credential: Credential,
    /// As AWS writes it, since this text is signed.
    pub(crate) timestamp: String,
    pub(crate) seconds: u64,
    /// For a presigned URL, for how many seconds it is good.
    pub(crate) expires: Option<u64>,
    pub(crate) signed_headers: SignedHeaders,
    pub(crate) signature: [u8; 32],
}

/// The parts of a claim as a request spells them, from headers or from the query.
pub(crate) struct Spelled<'a> {
    pub(crate) algorithm: &'a str,
    pub(crate) credential: &'a str,
    pub(crate) timestamp: &'a str,
    pub(crate) expires: Option<u64>,
    pub(crate) signed_headers: &'a str,
    pub(crate) signature: &'a str,
}

impl Claim {
    pub(crate) fn read(spelled: &Spelled<'_>) -> Result<Self, SigV4Error> {
        if spelled.algorithm != ALGORITHM {
            return Err(SigV4Error::Malformed("Algorithm", "only AWS4-HMAC-SHA256 is supported"));
        }
        let seconds = amz_date::parse(spelled.timestamp)
            .ok_or(SigV4Error::Malformed("X-Amz-Date", "it is written like 20150830T123600Z"))?;
        let signature = parse_hex(spelled.signature)
            .ok_or(SigV4Error::Malformed("Signature", "it has 64 lower-case hexadecimal digits"))?;
        Ok(Self {
            credential: Credential::parse(spelled.credential)?,
            timestamp: spelled.timestamp.to_owned(),
            seconds,
            expires: spelled.expires,
            signed_headers: SignedHeaders::parse(spelled.signed_headers)?,
            signature,
        })
    }

    /// Refuses what was signed too long ago, or in the future.
    pub(crate) fn check_time(&self, now: Timestamp) -> Result<(), SigV4Error> {
        let now = now.unix_seconds();
        let signed = || self.timestamp.clone();
        if self.seconds > now + MAX_SKEW_SECONDS {
            let latest = amz_date::format(now + MAX_SKEW_SECONDS);
            return Err(SigV4Error::NotYetCurrent { signed: signed(), latest, now: amz_date::format(now) });
        }
        match self.expires {
            Some(seconds) if self.seconds + seconds < now => {
                Err(SigV4Error::PresignedExpired { signed: signed(), seconds, now: amz_date::format(now) })
            }
            None if self.seconds + MAX_SKEW_SECONDS < now => {
                let earliest = amz_date::format(now.saturating_sub(MAX_SKEW_SECONDS));
                Err(SigV4Error::Expired { signed: signed(), earliest, now: amz_date::format(now) })
            }
            _ => Ok(()),
        }
    }
}

/// `AKEXAMPLE/20150830/us-east-1/bedrock-agentcore/aws4_request`.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) access_key_id: String,
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Credential {
    fn parse(text: &str) -> Result<Self, SigV4Error> {
        let mut parts = text.split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let found = (next(), next(), next(), next(), next(), parts.next());
        match found {
            (Some(access_key_id), Some(date), Some(region), Some(service), Some(end), None)
                if end == "aws4_request" =>
            {
                Ok(Self { access_key_id, date, region, service })
            }
            _ => {
                Err(SigV4Error::Malformed("Credential", "it is written KEY/DATE/REGION/SERVICE/aws4_request"))
            }
        }
    }
}

/// The names of the signed headers: lower case, sorted, each once.
#[derive(Debug)]
pub(crate) struct SignedHeaders(String);

impl SignedHeaders {
    fn parse(text: &str) -> Result<Self, SigV4Error> {
        let malformed = |why| Err(SigV4Error::Malformed("SignedHeaders", why));
        if text.split(';').count() > MAX_SIGNED_HEADERS {
            return malformed("there are too many");
        }
        if !text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b';')) {
            return malformed("they are header names in lower case");
        }
        if !text.split(';').is_sorted_by(|one, next| !one.is_empty() && one < next) || text.is_empty() {
            return malformed("they are sorted, and each is there once");
        }
        let headers = Self(text.to_owned());
        match headers.contains("host") {
            true => Ok(headers),
            false => Err(SigV4Error::UnsignedHeader("Host".to_owned())),
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split(';')
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names().any(|one| one == name)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
