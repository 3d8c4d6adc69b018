//! The body of a request on its way to disk.

use std::fs::File;
use std::io;
use std::sync::Arc;

use agentcore_protocol::InvocationId;
use agentcore_protocol::agent::MAX_PAYLOAD_BYTES;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sha2::{Digest, Sha256};

use super::files::{Files, Part, Unclaimed, read_at, sync, write_at};
use super::record::{Payload, Request};

/// Largest body that is kept in the database.
const MOST_HELD: usize = 64 * 1024;
/// How much of a file is read at once.
const PORTION: usize = 64 * 1024;

/// A body that is complete, and on disk if it is too large for the database.
pub(crate) struct Received {
    pub(crate) payload: Payload,
    /// The hash of the whole, if it was wanted.
    pub(crate) hash: Option<[u8; 32]>,
    /// Its file, if it is in one.
    pub(crate) file: Option<Unclaimed>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreceived {
    #[error("the payload is too large")]
    TooLarge,
    #[error("the payload ended before it was complete")]
    Incomplete,
    #[error("cannot keep the payload: {0}")]
    Disk(#[from] io::Error),
}

impl Received {
    /// Reads a body to its end.
    pub(crate) async fn of(
        files: &Files,
        id: InvocationId,
        body: Body,
        hashed: bool,
    ) -> Result<Self, Unreceived> {
        let mut body = Limited::new(body, MAX_PAYLOAD_BYTES);
        let mut hash = hashed.then(Sha256::new);
        let (mut held, mut held_bytes) = (Vec::new(), 0);
        let mut file: Option<(Arc<File>, Unclaimed)> = None;
        let mut written = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => Unreceived::TooLarge,
                None => Unreceived::Incomplete,
            })?;
            let Ok(piece) = frame.into_data() else { continue };
            if let Some(hash) = &mut hash {
                hash.update(&piece);
            }
            held_bytes += piece.len();
            held.push(piece);
            if held_bytes > MOST_HELD {
                let (file, _) = match &file {
                    Some(file) => file,
                    None => file.insert(files.create_unclaimed(id, Part::Request).await?),
                };
                write_at(file, written, std::mem::take(&mut held)).await?;
                written += std::mem::take(&mut held_bytes) as u64;
            }
        }
        let hash = hash.map(|hash| hash.finalize().into());
        let Some((file, unclaimed)) = file else {
            return Ok(Self { payload: Payload::Held(joined(held)), hash, file: None });
        };
        write_at(&file, written, held).await?;
        sync(&file).await?;
        Ok(Self { payload: Payload::InFile, hash, file: Some(unclaimed) })
    }
}

fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    match pieces.pop() {
        Some(only) if pieces.is_empty() => only,
        last => pieces
            .into_iter()
            .chain(last)
            .fold(Vec::new(), |mut all, piece| {
                all.extend_from_slice(&piece);
                all
            })
            .into(),
    }
}

/// The body of a request for an agent, and the headers with its length.
pub(crate) async fn body(files: &Files, id: InvocationId, request: Request) -> io::Result<(HeaderMap, Body)> {
    let Request { mut headers, payload } = request;
    let (file, length) = match payload {
        Payload::Held(bytes) => return Ok((headers, Body::from(bytes))),
        Payload::InFile => files.read(id, Part::Request).await?,
    };
    headers.insert(CONTENT_LENGTH, length.into());
    let portions = stream::try_unfold(0, move |at| {
        let file = file.clone();
        async move {
            if at >= length {
                return Ok::<_, io::Error>(None);
            }
            let portion = read_at(&file, at, PORTION.min((length - at) as usize)).await?;
            let next = at + portion.len() as u64;
            Ok(Some((portion, next)))
        }
    });
    Ok((headers, Body::from_stream(portions)))
}

impl Unreceived {
    /// Whether there is no room on the disk.
    pub(crate) fn is_full(&self) -> bool {
        let Self::Disk(error) = self else { return false };
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}
