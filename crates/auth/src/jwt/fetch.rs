//! Fetching small JSON documents from an issuer.

use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use super::configuration::is_safe;
use crate::trust::Trust;

/// How long an issuer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than any issuer's document has.
const MAX_BYTES: usize = 1024 * 1024;

/// Why a document cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Anybody on the way could change it.
    #[error("{0} is neither https nor a loopback address")]
    Insecure(String),
    /// No answer in time.
    #[error("{0} did not answer within {seconds} s", seconds = TIMEOUT.as_secs())]
    Timeout(Uri),
    /// No answer.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(Uri, String),
    /// Another answer than a document. Redirects are not followed: they could lead anywhere.
    #[error("{0} answered {1}")]
    Status(Uri, StatusCode),
    /// The document is not what it should be.
    #[error("{0} is not what it should be: {1}")]
    Malformed(Uri, String),
    /// It was tried a moment ago.
    #[error("it failed a moment ago")]
    TriedBefore,
}

/// Fetches small JSON documents. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Fetcher {
    /// A fetcher that trusts what the system trusts.
    pub fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = Trust::of_system().connector(tcp);
        Self { client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector) }
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        let uri: Uri = url.parse().map_err(|_| FetchError::Insecure(url.to_owned()))?;
        if !is_safe(&uri) {
            return Err(FetchError::Insecure(url.to_owned()));
        }
        let fetched = tokio::time::timeout(TIMEOUT, self.bytes(&uri)).await;
        let bytes = fetched.map_err(|_| FetchError::Timeout(uri.clone()))??;
        serde_json::from_slice(&bytes).map_err(|error| FetchError::Malformed(uri, error.to_string()))
    }

    async fn bytes(&self, uri: &Uri) -> Result<Bytes, FetchError> {
        let unreachable = |error: &dyn std::error::Error| FetchError::Unreachable(uri.clone(), chain(error));
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.clone();
        request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("application/json"));
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(uri.clone(), response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        Ok(body.map_err(|error| unreachable(&*error))?.to_bytes())
    }
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::new()
    }
}

/// An error with what caused it: hyper's own words alone say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
