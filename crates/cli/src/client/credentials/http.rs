//! How AWS's crates reach those who hand out credentials: with the TLS of this program, so that they trust whom
//! `--ca-bundle` names and bring no cryptography of their own.

use std::time::Duration;

use agentcore_auth::Trust;
use aws_smithy_runtime_api::client::http::{
    HttpConnector as Connect, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// Credentials take a kilobyte or two.
const MOST_BYTES: usize = 1024 * 1024;
/// How long an answer may take if nobody says so.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that trusts these, or whom the system trusts.
pub(super) fn client(trust: Option<Trust>) -> SharedHttpClient {
    http_client_fn(move |settings, _| {
        SharedHttpConnector::new(Connector { trust: trust.clone(), settings: settings.clone() })
    })
}

#[derive(Debug, Clone)]
struct Connector {
    trust: Option<Trust>,
    settings: HttpConnectorSettings,
}

impl Connect for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move {
            let patience = connector.settings.connect_timeout().unwrap_or_default()
                + connector.settings.read_timeout().unwrap_or(PATIENCE);
            let answered = timeout(patience, connector.exchange(request)).await;
            answered.unwrap_or_else(|elapsed| Err(ConnectorError::timeout(elapsed.into())))
        })
    }
}

impl Connector {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let request = request.map(|body| Full::new(Bytes::copy_from_slice(body.bytes().unwrap_or_default())));
        let response = self.send(request).await.map_err(|error| ConnectorError::io(error.into()))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await.map_err(ConnectorError::io)?;
        let response = Response::from_parts(head, SdkBody::from(body.to_bytes()));
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(self.settings.connect_timeout());
        let trust = Trust::chosen_or_of_system(self.trust.as_ref(), has_tls(request.uri()));
        let client = Client::builder(TokioExecutor::new());
        match proxy(request.uri()) {
            None => client.build(trust.connector(tcp)).request(request).await,
            Some(proxy) => {
                let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                let tunnel = match proxy.basic_auth() {
                    Some(auth) => tunnel.with_auth(auth.clone()),
                    None => tunnel,
                };
                client.build(trust.connector(tunnel)).request(request).await
            }
        }
    }
}

fn has_tls(service: &Uri) -> bool {
    service.scheme() == Some(&Scheme::HTTPS)
}

/// The proxy on the way to a service, as the environment names it. Containers and machines, which are asked without
/// TLS, are next to us: what they hand out goes through nobody.
fn proxy(service: &Uri) -> Option<Intercept> {
    has_tls(service).then(|| Matcher::from_env().intercept(service)).flatten()
}
