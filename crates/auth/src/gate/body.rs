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

use super::GateOptions;
use super::room::{From, Place, Room};
use crate::refusal::Refusal;

/// Bodies up to this size have a reserve, should large ones take all the room.
const SMALL: u64 = 1024 * 1024;
/// Which part of the room is the reserve.
const RESERVE: usize = 8;

/// A body that was read, and is the one that was signed, in the pieces that it came in.
#[derive(Debug)]
pub struct HeldBody {
    pieces: VecDeque<Bytes>,
    left: u64,
    room: Place,
    reserve: Place,
}

/// How much may be held at once, over all requests.
pub(super) struct Budget {
    room: Arc<Room>,
    reserve: Arc<Room>,
    max_body: usize,
    timeout: Duration,
}

impl Budget {
    pub(super) fn new(options: GateOptions) -> Self {
        let reserve = options.max_held / RESERVE;
        Self {
            room: Room::new(options.max_held - reserve, options.max_body),
            reserve: Room::new(reserve, 0),
            max_body: options.max_body,
            timeout: options.body_timeout,
        }
    }

    /// Reads a body, and hashes it on the way.
    pub(super) async fn read<B>(&self, body: &mut B, from: From) -> Result<(HeldBody, [u8; 32]), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.size_hint().lower() > self.max_body as u64 {
            return Err(Refusal::too_large(self.max_body));
        }
        let read = tokio::time::timeout(self.timeout, self.pieces(body, from)).await;
        read.unwrap_or_else(|_| {
            Err(Refusal::unreadable(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))
        })
    }

    async fn pieces<B>(&self, body: &mut B, from: From) -> Result<(HeldBody, [u8; 32]), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (room, reserve) = (self.room.place(from), self.reserve.place(from));
        let mut held = HeldBody { pieces: VecDeque::new(), left: 0, room, reserve };
        let mut hash = Sha256::new();
        while let Some(frame) = body.frame().await {
            let cut_short = |_| Refusal::unreadable(StatusCode::BAD_REQUEST, "the body was cut short");
            let Ok(piece) = frame.map_err(cut_short)?.into_data() else { continue };
            hash.update(&piece);
            held.keep(piece, self.max_body)?;
        }
        Ok((held, hash.finalize().into()))
    }
}

impl HeldBody {
    fn keep(&mut self, piece: Bytes, most: usize) -> Result<(), Refusal> {
        self.left += piece.len() as u64;
        if self.left > most as u64 {
            return Err(Refusal::too_large(most));
        }
        let has_room = self.room.grow(piece.len()) || self.left <= SMALL && self.reserve.grow(piece.len());
        if !has_room {
            let message = "the host holds as many signed bodies as it may: try again in a moment";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "ThrottlingException", message));
        }
        self.pieces.push_back(piece);
        Ok(())
    }

    /// Its signature is right.
    pub(super) fn verified(&mut self) {
        self.room.verified();
        self.reserve.verified();
    }
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
