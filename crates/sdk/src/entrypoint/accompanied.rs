//! The body of a handler's own response, with a client that may leave before its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio_util::sync::DropGuard;

use crate::respond::{Body, Response};

/// Fires the invocation's cancellation token when the body is dropped before its end.
struct Accompanied {
    body: Body,
    client_left: Option<DropGuard>,
}

/// Lets the invocation's token, if it has one, fire if the client leaves while a streamed body is sent.
/// A body that is there as a whole is not worth it.
pub(crate) fn accompany(response: Response, client_left: Option<DropGuard>) -> Response {
    let Some(guard) = client_left else { return response };
    if response.body().size_hint().exact().is_some() {
        guard.disarm();
        return response;
    }
    response.map(|body| Body::new(Accompanied { body, client_left: Some(guard) }))
}

impl http_body::Body for Accompanied {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none()
            && let Some(guard) = self.client_left.take()
        {
            guard.disarm();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // Once it is asked for its last frame, and so knows that the client has it.
        self.client_left.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
