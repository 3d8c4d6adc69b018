//! AWS's own API through the real router. The suite with boto3 is beside it, in `tests/python/aws`.

mod control;
mod data;
mod retries;
mod sockets;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;

use crate::support::{Answer, TestHost};

/// The name of the header that tells an error's type.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// A request as an SDK sends it: an operation, a path, and a body.
async fn call(host: &TestHost, request: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    Answer::of(host.send(signed(request, headers, body)).await).await
}

fn signed(request: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let (method, path) = request.split_once(' ').unwrap();
    let signature = "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/bedrock-agentcore/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature=00";
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    request = request.header("authorization", signature);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

/// An invocation of `tester`.
async fn invoke(host: &TestHost, session: &str, payload: &str) -> Answer {
    let headers = [(agentcore_protocol::headers::SESSION_ID, session)];
    call(host, "POST /runtimes/tester/invocations", &headers, payload.to_owned()).await
}

/// Checks that an answer is an error that AWS's clients understand. What it says.
fn error(answer: &Answer, status: u16, kind: &str) -> Value {
    assert_eq!(answer.status, StatusCode::from_u16(status).unwrap(), "{answer:?}");
    assert_eq!(answer.headers[ERROR_TYPE], kind, "{answer:?}");
    assert!(answer.headers.contains_key("x-amzn-requestid"), "{answer:?}");
    assert!(answer.json()["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer:?}");
    answer.json()
}
