//! Invocations that outlive their callers.

mod answers;
mod departures;
mod events;
mod full;
mod keys;
mod leaving;
mod restarts;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::Value;

use crate::support::{Answer, TestHost};

/// Where the answer to `asked` says that the invocation is.
fn location(asked: &Answer) -> String {
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{asked:?}");
    let location = asked.headers["location"].to_str().unwrap().to_owned();
    let id = asked.headers["agentcore-invocation-id"].to_str().unwrap();
    assert_eq!(location, format!("/_agentcore/v1/invocations/{id}"));
    location
}

/// Invokes with a header.
async fn invoke_with(host: &TestHost, session: &str, header: (&str, &str), payload: &str) -> Answer {
    Answer::of(host.send(request_with(host, session, header, payload)).await).await
}

fn request_with(host: &TestHost, session: &str, (name, value): (&str, &str), payload: &str) -> Request<Body> {
    let mut request = host.invocation(session, payload.to_owned());
    let name: axum::http::HeaderName = name.parse().unwrap();
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

async fn invoke_async(host: &TestHost, session: &str, payload: &str) -> Answer {
    invoke_with(host, session, ("prefer", "respond-async"), payload).await
}

/// What is on record of the invocation at `location`, once it has ended.
async fn ended(host: &TestHost, location: &str) -> Value {
    let answer = host.get(&format!("{location}?wait=600")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

async fn cancel(host: &TestHost, location: &str) -> Answer {
    host.request(Method::POST, &format!("{location}/cancel")).await
}
