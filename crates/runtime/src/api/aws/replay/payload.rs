//! The hash of a payload that passes by, by which a retry is told from another request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::Recording;

/// The hash of a whole payload.
pub(in crate::api::aws) type Hash = [u8; 32];

/// A payload on its way to the agent. Once all of it has passed, its recording knows its hash.
pub(in crate::api::aws) struct Passing {
    body: Body,
    hash: Option<Sha256>,
    recording: Arc<Recording>,
}

impl Passing {
    pub(in crate::api::aws) fn new(body: Body, recording: Arc<Recording>) -> Self {
        let mut passing = Self { body, hash: Some(Sha256::new()), recording };
        // What has nothing to give is never asked for it.
        passing.end_with_body();
        passing
    }

    fn end_with_body(&mut self) {
        if self.body.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(hash) = self.hash.take() {
            self.recording.came_with(hash.finalize().into());
        }
    }
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(piece)) => {
                if let (Some(hash), Some(data)) = (&mut self.hash, piece.data_ref()) {
                    hash.update(data);
                }
                self.end_with_body();
            }
            Some(Err(_)) => self.hash = None,
            None => self.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads a payload for nothing but its hash. `None`: it is not whole, or more than `most` bytes.
pub(in crate::api::aws) async fn hash_of(mut body: Body, most: usize) -> Option<Hash> {
    let (mut hash, mut read) = (Sha256::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        hash.update(&data);
        read += data.len();
        if read > most {
            return None;
        }
    }
    Some(hash.finalize().into())
}
