//! What hyper alone can do: the same bytes, with nothing decided on the way.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::{answer_to, payload};

/// As long as the real one.
const PING: &[u8] = br#"{"status":"Healthy","time_of_last_update":1700000000}"#;

/// The body of the hidden command.
pub(crate) fn serve(address: SocketAddr, json: bool) -> anyhow::Result<()> {
    let ready = serde_json::to_vec(&answer_to(serde_json::from_slice(&payload())?))?;
    let answer = if json { Answer::Made } else { Answer::Ready(ready.into()) };
    tokio::runtime::Runtime::new()?.block_on(accept(address, answer))
}

/// What `/invocations` is answered with.
#[derive(Clone)]
enum Answer {
    /// The bytes that are right for the one payload that is sent.
    Ready(Bytes),
    /// Those made from the payload, as the agent makes them.
    Made,
}

async fn accept(address: SocketAddr, answer: Answer) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        let service = service_fn(move |request| respond(request, answer.clone()));
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        // A client that leaves is no news.
        tokio::spawn(async move { drop(connection.await) });
    }
}

async fn respond(request: Request<Incoming>, answer: Answer) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = match *request.method() {
        Method::POST => {
            // Read to its end, as the next request follows it.
            let payload = request.into_body().collect().await?.to_bytes();
            match answer {
                Answer::Ready(ready) => ready,
                Answer::Made => make(&payload).into(),
            }
        }
        _ => Bytes::from_static(PING),
    };
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn make(payload: &[u8]) -> Vec<u8> {
    let payload = serde_json::from_slice(payload).unwrap_or_default();
    serde_json::to_vec(&answer_to(payload)).unwrap_or_default()
}
