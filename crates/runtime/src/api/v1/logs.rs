//! What a session's agent wrote.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::sessions::incarnations;
use super::{Api, ApiError};
use crate::logs::{self, Tail};
use crate::session::SessionHandle;

/// Most bytes of the past that are sent.
const MOST: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
pub(super) struct LogQuery {
    agent: Option<String>,
    #[serde(default)]
    follow: bool,
    /// Lines; all that are kept if absent.
    tail: Option<usize>,
}

pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let latest = incarnations(&api, id, query.agent, 1).await?.pop().ok_or(ApiError::UnknownSession)?;
    let living = api.manager.incarnation(latest.begun.id);
    let folder = api.state.join("i").join(&latest.begun.folder);
    let Tail { mut bytes, position } = logs::open(folder, MOST).await.map_err(ApiError::Log)?;
    if bytes.is_empty()
        && let Some(session) = &living
    {
        bytes = from_sandbox(session).await.map_err(ApiError::Log)?;
    }
    let past = match query.tail {
        Some(lines) => Bytes::copy_from_slice(logs::last_lines(&bytes, lines)),
        None => Bytes::from(bytes),
    };
    if !query.follow {
        return Ok(plain_text(Body::from(past)));
    }
    let manager = api.manager.clone();
    let to_come = logs::follow(position, move || manager.incarnation(latest.begun.id).is_none());
    Ok(plain_text(Body::from_stream(stream::iter([Ok(past)]).chain(to_come))))
}

/// A kind of sandbox need not keep its log in files.
async fn from_sandbox(session: &SessionHandle) -> std::io::Result<Vec<u8>> {
    let Some(sandbox) = session.sandbox().cloned() else { return Ok(Vec::new()) };
    spawn_blocking(move || sandbox.log_tail(MOST)).await.map_err(std::io::Error::other)?
}

/// A log may hold anything, so a browser must not guess what it is.
fn plain_text(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
