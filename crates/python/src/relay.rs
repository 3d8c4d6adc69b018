//! A request that another server has received, answered by the Rust service all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use bedrock_agentcore::embed;
use bedrock_agentcore::{AppService, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request};
use pyo3::prelude::*;
use tokio::sync::mpsc;

use crate::courier::{Courier, Message};
use crate::exchange::RawHeaders;

/// What the ASGI application gives along: its context and its request object.
pub(crate) struct Origin(std::sync::Mutex<Option<Py<PyAny>>>);

impl Origin {
    pub(crate) fn new(origin: Py<PyAny>) -> Arc<Self> {
        Arc::new(Self(std::sync::Mutex::new(Some(origin))))
    }

    pub(crate) fn take(&self) -> Option<Py<PyAny>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

/// An answer on its way: pieces are sent as they are asked for.
#[pyclass(frozen)]
pub(crate) struct Relay {
    demand: mpsc::UnboundedSender<Py<PyAny>>,
}

#[pymethods]
impl Relay {
    /// Asks for the next piece: `deliver(0, piece)`, with None at the end.
    fn next(&self, deliver: Py<PyAny>) {
        // The other end is gone only after the end of the body was delivered.
        let _ = self.demand.send(deliver);
    }
}

/// Counts the relays that are under way: the courier stays for them.
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Answers `request`: `head(status, headers)` first, and then as the relay is asked.
pub(crate) fn start(
    runtime: &tokio::runtime::Handle,
    service: AppService,
    request: Request<Bytes>,
    head: Py<PyAny>,
    courier: Arc<Courier>,
    under_way: UnderWay,
) -> Relay {
    let (demand, asked) = mpsc::unbounded_channel();
    runtime.spawn(async move {
        let _under_way = under_way;
        let response = embed::answer(&service, request.map(Body::from)).await;
        forward(response, head, asked, &courier).await;
    });
    Relay { demand }
}

/// Ends when the body does, or when nobody can ask for more: then the body is dropped, as it is
/// when a client leaves.
async fn forward(
    response: Response,
    head: Py<PyAny>,
    mut asked: mpsc::UnboundedReceiver<Py<PyAny>>,
    courier: &Courier,
) {
    let (mut parts, body) = response.into_parts();
    let length =
        http_body::Body::size_hint(&body).exact().filter(|_| !parts.headers.contains_key(CONTENT_LENGTH));
    // Says that the body is whole already.
    parts.headers.extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from(length))));
    let headers: RawHeaders = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect();
    courier.push(head, Message::Head(parts.status.as_u16(), headers));
    let mut body = body.into_data_stream();
    while let Some(deliver) = asked.recv().await {
        let piece = tokio::select! {
            piece = body.next() => piece,
            () = gone(&mut asked) => return,
        };
        match piece {
            Some(Ok(piece)) => courier.push(deliver, Message::Piece(piece)),
            Some(Err(_)) | None => return courier.push(deliver, Message::End),
        }
    }
}

/// Resolves when the relay is dropped while a piece is awaited.
async fn gone(asked: &mut mpsc::UnboundedReceiver<Py<PyAny>>) {
    while asked.recv().await.is_some() {}
}
