//! What hyper alone can do: the same bytes, with nothing decided on the way.

use std::convert::Infallible;
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

use super::payload;

/// As long as the real one.
const PING: &[u8] = br#"{"status":"Healthy","time_of_last_update":1700000000}"#;

/// The body of the hidden command.
pub(crate) fn serve(address: SocketAddr) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(accept(address))
}

async fn accept(address: SocketAddr) -> anyhow::Result<()> {
    let answer = Bytes::from(payload());
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

async fn respond(request: Request<Incoming>, answer: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match *request.method() {
        Method::POST => {
            // Read to its end, as the next request follows it.
            let _ = request.into_body().collect().await;
            answer
        }
        _ => Bytes::from_static(PING),
    };
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
