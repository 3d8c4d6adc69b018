//! Bodies that have to be read before anybody may see them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::GateOptions;
use crate::refusal::Refusal;

/// What one permit of the budget stands for.
const UNIT: usize = 1024;

/// A request's body behind the gate.
#[derive(Debug)]
pub enum GateBody<B> {
    /// As it came; nothing of it was read.
    Passed(B),
    /// It was read, and is the one that was signed.
    Held(HeldBody),
}

/// A body that was read, in the pieces that it came in.
#[derive(Debug)]
pub struct HeldBody {
    pieces: VecDeque<Bytes>,
    left: u64,
    room: Option<OwnedSemaphorePermit>,
}

/// How much may be held at once, over all requests.
pub(super) struct Budget {
    room: Arc<Semaphore>,
    max_body: usize,
    timeout: Duration,
}

impl Budget {
    pub(super) fn new(options: GateOptions) -> Self {
        let room = Arc::new(Semaphore::new((options.max_held / UNIT).max(1)));
        Self { room, max_body: options.max_body, timeout: options.body_timeout }
    }

    /// Reads a body, and hashes it on the way.
    pub(super) async fn read<B>(&self, body: B) -> Result<(HeldBody, [u8; 32]), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.size_hint().lower() > self.max_body as u64 {
            return Err(too_large());
        }
        let read = tokio::time::timeout(self.timeout, self.pieces(body)).await;
        read.unwrap_or_else(|_| {
            Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "ValidationException",
                "the body did not arrive in time",
            ))
        })
    }

    async fn pieces<B>(&self, mut body: B) -> Result<(HeldBody, [u8; 32]), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut held = HeldBody { pieces: VecDeque::new(), left: 0, room: None };
        let mut hash = Sha256::new();
        while let Some(frame) = body.frame().await {
            let cut_short =
                |_| Refusal::new(StatusCode::BAD_REQUEST, "ValidationException", "the body was cut short");
            let Ok(piece) = frame.map_err(cut_short)?.into_data() else { continue };
            held.left += piece.len() as u64;
            if held.left > self.max_body as u64 {
                return Err(too_large());
            }
            hash.update(&piece);
            held.keep(piece, &self.room)?;
        }
        Ok((held, hash.finalize().into()))
    }
}

impl HeldBody {
    fn keep(&mut self, piece: Bytes, room: &Arc<Semaphore>) -> Result<(), Refusal> {
        let units = u32::try_from(piece.len().div_ceil(UNIT)).unwrap_or(u32::MAX);
        // Whoever waited here would hold what others wait for.
        let more = room.clone().try_acquire_many_owned(units).map_err(|_| {
            let message = "the host holds as many signed bodies as it may: try again in a moment";
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "ThrottlingException", message)
        })?;
        match &mut self.room {
            Some(room) => room.merge(more),
            none => *none = Some(more),
        }
        self.pieces.push_back(piece);
        Ok(())
    }
}

fn too_large() -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "ValidationException",
        "the body is larger than this host accepts",
    )
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, Bytes::len) as u64;
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
