//! Signing requests to a host that asks who calls.

use std::time::{Duration, UNIX_EPOCH};

use agentcore_auth::Trust;
use agentcore_auth::keys::is_access_key_id;
use agentcore_protocol::{Clock, SystemClock};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request};

use super::credentials::{self, DEFAULT_REGION, Found, NoCredentials};

/// What requests are signed with.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    credentials: Credentials,
    region: String,
}

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be signed: {0}")]
pub(crate) struct SigningError(String);

impl Signer {
    /// The key that `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` name. A key of AWS itself is none:
    /// hosts do not know it, and it is none of their business.
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let id = variable("AWS_ACCESS_KEY_ID").filter(|id| is_access_key_id(id))?;
        let secret = variable("AWS_SECRET_ACCESS_KEY")?;
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let credentials = Credentials::new(id, secret, None, None, "environment");
        Some(Self { credentials, region: region.unwrap_or_else(|| DEFAULT_REGION.to_owned()) })
    }

    /// The credentials of whoever runs this, wherever AWS's tools would find them, for a region or for theirs.
    /// `trust` is whom to believe who hands them out, instead of whom the system does.
    pub(crate) async fn of_chain(trust: Option<Trust>, region: Option<&str>) -> Result<Self, NoCredentials> {
        let Found { credentials, region: theirs } = credentials::find(trust, region).await?;
        let region = region.map(str::to_owned).or(theirs);
        Ok(Self { credentials, region: region.unwrap_or_else(|| DEFAULT_REGION.to_owned()) })
    }

    /// Signs a request whose body is `body`, unless it shows already who sends it.
    pub(crate) fn sign<B>(&self, request: &mut Request<B>, body: &[u8]) -> Result<(), SigningError> {
        let failed = |error: &dyn std::error::Error| SigningError(error.to_string());
        if request.headers().contains_key(AUTHORIZATION) {
            return Ok(());
        }
        if let Some(authority) = request.uri().authority() {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|error| failed(&error))?;
            request.headers_mut().insert(HOST, host);
        }
        let identity = self.credentials.clone().into();
        let now = UNIX_EPOCH + Duration::from_millis(SystemClock.now().unix_millis());
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(agentcore_auth::sigv4::SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let uri = request.uri().to_string();
        let headers =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable =
            SignableRequest::new(request.method().as_str(), &uri, headers, SignableBody::Bytes(body))
                .map_err(|error| failed(&error))?;
        let (instructions, _) = sign(signable, &parameters).map_err(|error| failed(&error))?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(id: &str) -> Option<Signer> {
        Signer::from_environment(|name| match name {
            "AWS_ACCESS_KEY_ID" => Some(id.to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("secret".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn only_keys_of_hosts_are_used_and_tokens_go_first() {
        assert!(signer("AKIAABCDEFGHIJKLMNOP").is_none());
        let signer = signer("AKACABCDEFGHIJKLMNOP").unwrap();
        let mut request = Request::get("http://127.0.0.1:8080/x?a=b").body(()).unwrap();
        signer.sign(&mut request, b"").unwrap();
        let signature = request.headers()[AUTHORIZATION].to_str().unwrap();
        assert!(signature.contains("/us-east-1/bedrock-agentcore/aws4_request"), "{signature}");
        let mut request = Request::get("http://x/").header(AUTHORIZATION, "Bearer t").body(()).unwrap();
        signer.sign(&mut request, b"").unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer t");
    }
}
