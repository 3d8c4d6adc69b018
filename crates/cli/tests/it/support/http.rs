//! Plain HTTP, as curl does it.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// `curl URL`
pub(crate) async fn get(url: &str) -> Answer {
    send(Request::get(url).body(Full::default()).unwrap()).await
}

/// The same, if there is a host that answers.
pub(crate) async fn try_get(url: &str) -> Option<Answer> {
    try_send(Request::get(url).body(Full::default()).unwrap()).await
}

/// `curl -X POST URL`, if there is a host that answers.
pub(crate) async fn try_post(url: &str) -> Option<Answer> {
    try_send(Request::post(url).body(Full::default()).unwrap()).await
}

/// Reads server-sent events behind the one of number `last`, for as long as the connection holds. The
/// status, if there is a host that answers.
pub(crate) async fn try_follow(url: &str, last: usize, mut take: impl FnMut(&str)) -> Option<StatusCode> {
    let request = Request::get(url).header("last-event-id", last.to_string());
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request.body(Full::<Bytes>::default()).unwrap()).await.ok()?;
    let (status, mut body, mut text) = (response.status(), response.into_body(), String::new());
    while let Some(Ok(frame)) = body.frame().await {
        text.push_str(&String::from_utf8_lossy(frame.data_ref().map_or(b"", |data| data)));
        while let Some(end) = text.find("\n\n") {
            take(&text[..end]);
            text.drain(..end + 2);
        }
    }
    Some(status)
}

/// `curl -d BODY URL`, in a session.
pub(crate) async fn post(url: &str, session: Option<&str>, body: &str) -> Answer {
    let mut request = Request::post(url);
    if let Some(session) = session {
        request = request.header(agentcore_protocol::headers::SESSION_ID, session);
    }
    send(request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()).await
}

async fn send(request: Request<Full<Bytes>>) -> Answer {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = tokio::time::timeout(super::PATIENCE, client.request(request)).await;
    let (head, body) = response.expect("no answer").unwrap().into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Answer { status: head.status, headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// The whole answer, if there is one.
async fn try_send(request: Request<Full<Bytes>>) -> Option<Answer> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = tokio::time::timeout(super::PATIENCE, client.request(request)).await.ok()?.ok()?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    Some(Answer { status: head.status, headers: head.headers, body })
}

/// `curl -H ... -d BODY URL`
pub(crate) async fn post_with(url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let request =
        headers.iter().fold(Request::post(url), |request, (name, value)| request.header(*name, *value));
    send(request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()).await
}

/// Asks for an invocation without waiting for it. Its id, if it was acknowledged, or known by its key.
pub(crate) async fn try_post_async(
    url: &str,
    session: &str,
    key: Option<&str>,
    body: &str,
) -> Option<String> {
    let mut request = Request::post(url)
        .header(agentcore_protocol::headers::SESSION_ID, session)
        .header("prefer", "respond-async");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = tokio::time::timeout(super::PATIENCE, client.request(request)).await.ok()?.ok()?;
    let status = response.status();
    // Neither has anything to do with a host that is killed.
    for wrong in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::UNPROCESSABLE_ENTITY] {
        assert_ne!(status, wrong, "{body:.200}");
    }
    let id = response.headers().get(agentcore_protocol::headers::INVOCATION_ID)?.to_str().ok()?.to_owned();
    (status == StatusCode::ACCEPTED || (key.is_some() && status == StatusCode::OK)).then_some(id)
}

/// Sends bytes to an address; all that comes back.
pub(crate) async fn raw(address: &str, request: &str) -> String {
    let mut answer = Vec::new();
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_to_end(&mut answer).await.unwrap();
    };
    tokio::time::timeout(super::PATIENCE, talk).await.expect("no answer");
    String::from_utf8_lossy(&answer).into_owned()
}
