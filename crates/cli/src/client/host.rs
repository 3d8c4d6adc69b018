//! A client of the host's HTTP.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use agentcore_auth::Trust;
use agentcore_runtime::{HOST_TOKEN_FILE, HOST_TOKEN_HEADER, HostRecord};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::endpoint::Endpoint;
use super::error::ClientError;
use super::model::ErrorBody;
use super::signature::Signer;

/// Where the host's own API begins.
const OWN_API: &str = "/_agentcore/v1";
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Everything but what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Query parameters; those without a value are left out.
pub(crate) type Query<'a> = &'a [(&'a str, Option<&'a str>)];

/// Talks to one host.
#[derive(Debug, Clone)]
pub(crate) struct HostClient {
    endpoint: Endpoint,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    signer: Option<Signer>,
    token: Option<HeaderValue>,
}

impl HostClient {
    /// A client of the host at `endpoint`, which is known by `trust` if it has a certificate.
    pub(crate) fn new(endpoint: Endpoint, trust: &Trust) -> Self {
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = trust.connector(plain);
        let signer = Signer::from_environment(|name| std::env::var(name).ok());
        Self { endpoint, http: Client::builder(TokioExecutor::new()).build(connector), signer, token: None }
    }

    /// Shows the token of the host whose state is in one of these folders, if it is that one.
    pub(crate) fn with_token_of<'a>(self, states: impl IntoIterator<Item = &'a Path>) -> Self {
        let is_its = |state: &&Path| {
            let record = HostRecord::read(state);
            record.is_some_and(|it| Endpoint::parse(&it.url).is_ok_and(|it| it.is_same_host(&self.endpoint)))
        };
        let state = states.into_iter().find(is_its);
        let token = state.and_then(|state| std::fs::read_to_string(state.join(HOST_TOKEN_FILE)).ok());
        let token = token.and_then(|token| HeaderValue::from_str(token.trim()).ok()).map(|mut token| {
            token.set_sensitive(true);
            token
        });
        Self { token, ..self }
    }

    /// The same client, with other credentials than a key of the host in the environment, or none.
    pub(crate) fn signed_by(self, signer: Option<Signer>) -> Self {
        Self { signer, ..self }
    }

    /// Calls AWS's API, or a path of the host's own, with a body and an answer in JSON.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Value, ClientError> {
        let request = Request::builder().method(method).uri(self.url(path, &[])).body(Full::new(body.into()));
        let response = self.send(request.map_err(|error| self.connection_error(error.to_string()))?).await?;
        let status = response.status();
        let body = self.collect(response.into_body()).await?;
        if status.is_success() { self.decode(&body) } else { Err(self.refusal(status, &body)) }
    }

    /// Whom it talks to.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The URL of a path with a query.
    pub(crate) fn url(&self, path: &str, query: Query<'_>) -> String {
        let mut url = format!("{}{path}", self.endpoint.as_str());
        let present = query.iter().filter_map(|(name, value)| Some((name, (*value)?)));
        for (at, (name, value)) in present.enumerate() {
            let separator = if at == 0 { '?' } else { '&' };
            url.push_str(&format!("{separator}{name}={}", escape(value)));
        }
        url
    }

    /// Sends a request and returns the answer as soon as its head is there, whatever its status.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = self.proven(request).await?;
        self.http.request(request).await.map_err(|error| {
            if error.is_connect() {
                let endpoint = self.endpoint.as_str().to_owned();
                return match is_of_tls(&error) {
                    true => ClientError::Untrusted { endpoint, reason: innermost(&error) },
                    false => ClientError::NotRunning { endpoint },
                };
            }
            let cause = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
            match cause.is_some_and(hyper::Error::is_incomplete_message) {
                true => ClientError::CutShort,
                false => self.connection_error(innermost(&error)),
            }
        })
    }

    /// The request with what shows who asks: the host's token, and a signature, as far as there are any.
    async fn proven(&self, mut request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, ClientError> {
        if let Some(token) = &self.token {
            request.headers_mut().insert(HOST_TOKEN_HEADER, token.clone());
        }
        let Some(signer) = &self.signer else { return Ok(request) };
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let mut request = Request::from_parts(parts, ());
        signer.sign(&mut request, &body).map_err(|error| self.connection_error(error.to_string()))?;
        Ok(request.map(|()| Full::new(body)))
    }

    /// Reads from the host's own API; `path` begins behind the version.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
    ) -> Result<T, ClientError> {
        let body = self.own(Method::GET, path, query).await?;
        self.decode(&self.collect(body).await?)
    }

    /// Makes the host do something; `path` begins behind the version.
    pub(crate) async fn act(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
    ) -> Result<Bytes, ClientError> {
        let body = self.own(method, path, query).await?;
        self.collect(body).await
    }

    /// Opens a stream of the host's own API.
    pub(crate) async fn own(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
    ) -> Result<Incoming, ClientError> {
        let response = self.send(self.own_request(method, path, query)?).await?;
        if response.status().is_success() {
            Ok(response.into_body())
        } else {
            Err(self.refused(response).await)
        }
    }

    /// A request for the host's own API, to be sent by [`send`](Self::send).
    pub(crate) fn own_request(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let url = self.url(&format!("{OWN_API}{path}"), query);
        let request = Request::builder().method(method).uri(url).body(Full::default());
        request.map_err(|error| self.connection_error(error.to_string()))
    }

    /// The error that an answer of the host's own API is.
    pub(crate) async fn refused(&self, response: Response<Incoming>) -> ClientError {
        let status = response.status();
        match self.collect(response.into_body()).await {
            Ok(body) => self.refusal(status, &body),
            Err(error) => error,
        }
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, ClientError> {
        let collected = body.collect().await.map_err(|error| self.connection_error(innermost(&error)))?;
        Ok(collected.to_bytes())
    }

    /// Reads an answer.
    pub(crate) fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| ClientError::NoHost {
            endpoint: self.endpoint.as_str().to_owned(),
            reason: error.to_string(),
        })
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(ErrorBody { error, details }) => {
                let details = details.map(|details| format!("\n{details}")).unwrap_or_default();
                ClientError::Refused { status, message: format!("{error}{details}") }
            }
            // A host's own errors are JSON: this is another program.
            Err(_) => ClientError::NoHost {
                endpoint: self.endpoint.as_str().to_owned(),
                reason: format!("it said {status}"),
            },
        }
    }

    fn connection_error(&self, reason: String) -> ClientError {
        ClientError::Connection { endpoint: self.endpoint.as_str().to_owned(), reason }
    }
}

/// Escapes a text for use as a segment of a path or a value of a query.
pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// What is at the bottom of an error: the layers above it say nothing to people.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Whether a connection failed for its handshake.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    // An error of I/O does not name as its source what is in it.
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    inner.is_some_and(|inner| is_of_tls(inner)) || error.source().is_some_and(is_of_tls)
}

/// Whether an answer is a stream of server-sent events.
pub(crate) fn is_event_stream<B>(response: &Response<B>) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.trim_start().starts_with("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped_and_empty_ones_left_out() {
        let client = HostClient::new(Endpoint::local(1), &Trust::nobody());
        let url = client.url("/x", &[("a", None), ("b", Some("1 &/ü")), ("c", Some("d"))]);
        assert_eq!(url, "http://127.0.0.1:1/x?b=1%20%26%2F%C3%BC&c=d");
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_is_told_from_one_that_refuses() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        drop(taken);
        let client = HostClient::new(Endpoint::local(port), &Trust::nobody());
        let error = client.get::<serde_json::Value>("/host", &[]).await.unwrap_err();
        assert!(error.is_not_running() && error.hint().unwrap().contains("agentcore launch -l"));

        let error = client.refusal(StatusCode::NOT_FOUND, br#"{"error":"unknown","details":"why"}"#);
        assert!(error.is_not_found());
        assert_eq!(error.to_string(), "unknown\nwhy");
        assert!(matches!(client.refusal(StatusCode::NOT_FOUND, b"<html>"), ClientError::NoHost { .. }));
    }
}
