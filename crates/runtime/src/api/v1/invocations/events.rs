//! A stream that can be rejoined: the items of an answer with numbers, and its end. A number is
//! given once its item is on disk, so a client that has seen it can always go on after it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::timeout;

use super::{InvocationView, find};
use crate::api::caller::Caller;
use crate::api::proxy::is_event_stream;
use crate::api::{Api, ApiError};
use crate::invocations::{Item, Items, Known, Lines, Reader, Upto};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// After so long without an item a comment tells that there will be more.
const SILENCE: Duration = Duration::from_secs(15);

/// What a reader of events has before them.
struct Events {
    known: Known,
    reader: Reader,
    items: Items,
    seen: u64,
    waiting: VecDeque<Item>,
    /// A long item that is being sent, and its number.
    long: Option<(Reader, u64)>,
    over: bool,
}

pub(super) async fn follow(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let seen = last_seen(&headers)?;
    let known = find(&api, &caller, &id).await?;
    let reader = match &known {
        Known::Live(live) => Reader::follow(live.clone(), Upto::Synced),
        Known::Over(record) => Reader::of(record, &api.invocations.files).await.map_err(ApiError::Files)?,
    };
    let (items, waiting) = (Items::default(), VecDeque::new());
    let mut events = Events { known, reader, items, seen, waiting, long: None, over: false };
    events.skip_seen().await?;
    let body = stream::try_unfold(events, |mut events| async move {
        Ok::<_, io::Error>(events.next().await?.map(|text| (text, events)))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn last_seen(headers: &HeaderMap) -> Result<u64, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(0) };
    let digits =
        value.to_str().ok().map(str::trim).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or(ApiError::BadRequest(
        "Last-Event-ID is no number: send the id of the last event you have seen",
    ))
}

/// The end of an item. The number comes last: should the agent have given one, too, this counts.
fn id_line(number: u64) -> String {
    format!("id: {number}\n\n")
}

impl Events {
    /// Goes to where the caller was.
    async fn skip_seen(&mut self) -> Result<(), ApiError> {
        while self.items.count() < self.seen {
            match self.reader.next_now().await.map_err(ApiError::Files)? {
                Some(piece) => self.take(&piece),
                None => return Err(ApiError::BadLastEventId { seen: self.seen, there: self.items.count() }),
            }
        }
        Ok(())
    }

    fn take(&mut self, piece: &Bytes) {
        // An answer that is no stream has no items.
        let head = self.known.head();
        if head.is_some_and(|head| is_event_stream(&head.headers)) {
            let Self { items, waiting, seen, .. } = self;
            items.feed(piece, |item| {
                if item.number > *seen {
                    waiting.push_back(item);
                }
            });
        }
    }

    /// What is sent next; `None` after the end.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some((part, number)) = &mut self.long {
                let (piece, number) = (part.next().await?, *number);
                return Ok(Some(piece.unwrap_or_else(|| {
                    self.long = None;
                    id_line(number).into()
                })));
            }
            match self.waiting.pop_front() {
                Some(Item { number, lines: Lines::At(place) }) => {
                    self.long = Some((self.reader.part(place), number));
                    continue;
                }
                Some(Item { number, lines: Lines::Held(lines) }) => {
                    return Ok(Some(self.numbered(number, lines)));
                }
                None => {}
            }
            if self.over {
                return Ok(None);
            }
            match timeout(SILENCE, self.reader.next()).await {
                Err(_) => return Ok(Some(Bytes::from_static(b": waiting\n\n"))),
                Ok(piece) => match piece? {
                    Some(piece) => self.take(&piece),
                    None => {
                        self.over = true;
                        return self.end().map(Some);
                    }
                },
            }
        }
    }

    /// An item with those that wait behind it.
    fn numbered(&mut self, number: u64, lines: Vec<u8>) -> Bytes {
        let mut text = lines;
        text.extend_from_slice(id_line(number).as_bytes());
        while let Some(Item { number, lines: Lines::Held(lines) }) =
            self.waiting.pop_front_if(|item| matches!(item.lines, Lines::Held(_)))
        {
            text.extend_from_slice(&lines);
            text.extend_from_slice(id_line(number).as_bytes());
        }
        text.into()
    }

    fn end(&self) -> io::Result<Bytes> {
        let view = serde_json::to_string(&InvocationView::of(&self.known.record()))?;
        Ok(format!("event: end\ndata: {view}\n\n").into())
    }
}
