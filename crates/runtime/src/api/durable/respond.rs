//! What the caller of a durable invocation hears.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::time::timeout;

use super::{Asked, Surface, outcome};
use crate::api::v1::InvocationView;
use crate::api::{Api, ApiError};
use crate::invocations::{Head, Known, Live, Reader, Record, Upto};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Where an invocation is found. Whose callers bring tokens is named: tokens are its issuer's.
fn location(api: &Api, record: &Record) -> String {
    let agent = api.manager.agent(&record.key.agent);
    let agent = agent.filter(|agent| agent.definition.authorizer.is_some());
    let query = agent.map(|agent| format!("?agent={}", agent.name)).unwrap_or_default();
    format!("/_agentcore/v1/invocations/{}{query}", record.id)
}

pub(super) async fn respond(api: &Arc<Api>, known: Known, asked: &Asked, surface: Surface) -> Response {
    if !asked.respond_async {
        return told(api, known, surface).await;
    }
    let known = match known {
        // Who gives it no time is told where to look, however fast the agent was. Not by a timer, which is
        // a millisecond late.
        Known::Live(live) if asked.wait.is_zero() => return applied(acknowledged(api, &live.record())),
        // What ends in time is answered at once.
        Known::Live(live) => match timeout(asked.wait, live.ended()).await {
            Ok(_) => Known::Over(Box::new(live.record())),
            Err(_) => return applied(acknowledged(api, &live.record())),
        },
        over @ Known::Over(_) => over,
    };
    applied(told(api, known, surface).await)
}

fn applied(mut response: Response) -> Response {
    response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    response
}

/// It is on disk, and this is where to look for it.
fn acknowledged(api: &Api, record: &Record) -> Response {
    let at = [(LOCATION, location(api, record))];
    (StatusCode::ACCEPTED, at, Json(InvocationView::of(record))).into_response()
}

/// The agent's answer for who waits for it.
async fn told(api: &Arc<Api>, known: Known, surface: Surface) -> Response {
    let session = match &known {
        Known::Live(live) => api.manager.find(&live.key),
        Known::Over(_) => None,
    };
    match (answer_or_why(api, known).await, surface) {
        (Ok(answer), Surface::Plain) => answer,
        (Ok(answer), Surface::Aws) => outcome(answer, session.as_ref()).await.into_response(),
        (Err(error), surface) => surface.error(error),
    }
}

async fn answer_or_why(api: &Api, known: Known) -> Result<Response, ApiError> {
    let record = match known {
        Known::Over(record) => *record,
        Known::Live(live) => {
            let head = live.head().await;
            match head {
                // It grows before the caller's eyes, and ends once its end is on record.
                Some(head) if !head.headers.contains_key(CONTENT_LENGTH) => return Ok(followed(live, &head)),
                _ => {
                    live.ended().await;
                    live.record()
                }
            }
        }
    };
    match &record.answer {
        Some(kept) if kept.complete => answer(api, &record, &kept.head).await,
        // The part that the first caller had, too, and no end either.
        Some(kept) if !kept.head.headers.contains_key(CONTENT_LENGTH) => {
            let reader = Reader::of(&record, &api.invocations.files).await.map_err(ApiError::Files)?;
            Ok(with_head(&kept.head, body(reader.without_end())))
        }
        _ => Err(ApiError::Unanswered(record.state, record.reason)),
    }
}

/// An answer that comes in.
pub(in crate::api) fn followed(live: Arc<Live>, head: &Head) -> Response {
    with_head(head, body(Reader::follow(live, Upto::Written)))
}

/// What is kept of an answer.
pub(in crate::api) async fn answer(api: &Api, record: &Record, head: &Head) -> Result<Response, ApiError> {
    let reader = Reader::of(record, &api.invocations.files).await.map_err(ApiError::Files)?;
    let mut response = with_head(head, body(reader));
    let bytes = record.answer.as_ref().map_or(0, |answer| answer.bytes);
    response.headers_mut().insert(CONTENT_LENGTH, bytes.into());
    Ok(response)
}

fn with_head(head: &Head, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = head.headers.clone();
    response
}

fn body(reader: Reader) -> Body {
    Body::from_stream(stream::try_unfold(reader, |mut reader| async move {
        match reader.next().await? {
            None if reader.broke_off() => Err(io::ErrorKind::UnexpectedEof.into()),
            piece => Ok::<_, io::Error>(piece.map(|piece| (piece, reader))),
        }
    }))
}
