//! Reads what a refused request still sends.
//!
//! A server that answers and closes while its client still sends makes the client's system throw
//! the answer away: instead of the error, the client sees a connection that broke.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Most bytes that are read for nothing: somewhat more than a payload may have.
const MOST: usize = 128 * 1024 * 1024;
/// How long the client may take to send them.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may send nothing.
const SILENCE: Duration = Duration::from_secs(2);

/// Answers errors only when the request was read.
pub(super) async fn read_before_error(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (give_back, mut given_back) = oneshot::channel();
    let watched = |body| Body::new(Watched { body, give_back: Some(give_back) });
    let response = next.run(request.map(watched)).await;
    let failed = response.status().is_client_error() || response.status().is_server_error();
    if failed && let Ok(rest) = given_back.try_recv() {
        read_rest(rest).await;
    }
    response
}

/// Reads what is left of a request before it is refused. Who sends more, or slower, is let go of.
pub(in crate::api) async fn read_rest(rest: Body) {
    if !rest.is_end_stream() {
        let _ = timeout(PATIENCE, read_away(rest, SILENCE)).await;
    }
}

/// Reads a body for nothing, unless nothing comes for so long.
async fn read_away(mut body: Body, silence: Duration) {
    let mut read = 0;
    while let Ok(Some(Ok(frame))) = timeout(silence, body.frame()).await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MOST {
            return;
        }
    }
}

/// A body that is given back if it is dropped before its end.
struct Watched {
    body: Body,
    give_back: Option<oneshot::Sender<Body>>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.give_back = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            // Once the answer is on its way, nobody takes it.
            let _ = give_back.send(std::mem::take(&mut self.body));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use futures_util::{StreamExt, stream};
    use tower::ServiceExt;

    /// How many of ten pieces are read when the request is answered with `status` unread.
    async fn pieces_read(status: StatusCode) -> usize {
        let router =
            Router::new().route("/", post(move || async move { status })).layer(from_fn(read_before_error));
        let read = Arc::<AtomicUsize>::default();
        let counted = read.clone();
        let pieces = stream::iter(0..10).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(b"piece"))
        });
        let request = Request::post("/").body(Body::from_stream(pieces)).unwrap();
        assert_eq!(router.oneshot(request).await.unwrap().status(), status);
        read.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn an_error_waits_for_the_request_and_a_success_does_not() {
        assert_eq!(pieces_read(StatusCode::NOT_FOUND).await, 10);
        assert_eq!(pieces_read(StatusCode::OK).await, 0);
    }
}
