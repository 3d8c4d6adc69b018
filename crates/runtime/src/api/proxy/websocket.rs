//! A WebSocket from a caller to an agent: the handshake is passed on, and then bytes are copied.
//! Frames are the two ends' own business.

use std::io;

use agentcore_protocol::agent::WEBSOCKET_PATH;
use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::time::timeout;

use super::body::AgentBody;
use super::exchange::ExchangeError;
use super::headers::answer_headers;
use crate::link::{RequestBody, without_payload};
use crate::options::AnswerPatience;
use crate::session::InFlight;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// What the two ends tell each other in the handshake.
const HANDSHAKE: [HeaderName; 5] = [
    HeaderName::from_static("sec-websocket-key"),
    HeaderName::from_static("sec-websocket-version"),
    HeaderName::from_static("sec-websocket-protocol"),
    HeaderName::from_static("sec-websocket-extensions"),
    HeaderName::from_static("sec-websocket-accept"),
];

/// Whether a request asks for a WebSocket.
pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Opens a WebSocket to an agent. `headers` are those for the agent; `caller` is the request, whose
/// connection is taken over if the agent accepts.
pub(crate) async fn websocket(
    mut caller: Request<Body>,
    headers: HeaderMap,
    in_flight: InFlight,
    patience: AnswerPatience,
) -> Result<Response<Body>, ExchangeError> {
    let callers_end = hyper::upgrade::on(&mut caller);
    let request = handshake_request(caller.headers(), headers);
    let shaken = timeout(patience.begin, shake_hands(request, &in_flight)).await;
    let mut answer = shaken.map_err(|_| ExchangeError::TooSlow(patience.begin))??;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer_headers(answer.headers_mut());
        let body = |incoming| AgentBody::new(incoming, None, in_flight, patience.end);
        return Ok(answer.map(|incoming| Body::new(body(incoming))));
    }
    let agents_end = hyper::upgrade::on(&mut answer);
    tokio::spawn(async move {
        if let Err(error) = connect_ends(callers_end, agents_end).await {
            // Either end may leave without a word; that is how most WebSockets end.
            tracing::debug!(session.id = %in_flight.session().key.session, error = %error, "a WebSocket broke");
        }
        drop(in_flight);
    });
    Ok(accepted(answer.headers()))
}

fn handshake_request(caller: &HeaderMap, mut headers: HeaderMap) -> Request<RequestBody> {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
    copy_handshake(caller, &mut headers);
    let mut request = without_payload();
    *request.method_mut() = Method::GET;
    *request.uri_mut() = axum::http::Uri::from_static(WEBSOCKET_PATH);
    *request.headers_mut() = headers;
    request
}

async fn shake_hands(
    request: Request<RequestBody>,
    in_flight: &InFlight,
) -> Result<Response<hyper::body::Incoming>, ExchangeError> {
    let sandbox = in_flight.session().sandbox();
    let sandbox = sandbox.ok_or_else(|| ExchangeError::Connect(io::ErrorKind::NotConnected.into()))?;
    let io = sandbox.connect().await.map_err(ExchangeError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(ExchangeError::Closed)?;
    // What goes wrong with it reaches whoever waits for the answer, or reads from either end.
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.map_err(ExchangeError::Closed)
}

async fn connect_ends(
    caller: OnUpgrade,
    agent: OnUpgrade,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (caller, agent): (Upgraded, Upgraded) = tokio::try_join!(caller, agent)?;
    copy_bidirectional(&mut TokioIo::new(caller), &mut TokioIo::new(agent)).await?;
    Ok(())
}

fn accepted(agent: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, WEBSOCKET);
    copy_handshake(agent, response.headers_mut());
    response
}

fn copy_handshake(from: &HeaderMap, to: &mut HeaderMap) {
    for name in HANDSHAKE {
        for value in from.get_all(&name) {
            to.append(name.clone(), value.clone());
        }
    }
}
