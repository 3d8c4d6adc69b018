//! Which invocations there are.

use std::sync::Arc;

use agentcore_protocol::{InvocationId, SessionId};
use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::{Asked, InvocationView};
use crate::api::caller::Caller;
use crate::api::{Api, ApiError};
use crate::invocations::{self, Filter};

/// How many are listed unless asked otherwise.
const DEFAULT_LIMIT: u32 = 100;
/// The most that are listed at once.
const MOST: u32 = 1_000;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    agent: Option<String>,
    session: Option<String>,
    state: Option<invocations::State>,
    limit: Option<u32>,
    /// Only older ones than this.
    before: Option<InvocationId>,
}

#[derive(Serialize)]
pub(super) struct InvocationList {
    /// Without the bodies of their answers.
    invocations: Vec<InvocationView>,
    /// What to send as `before` for the next page.
    next: Option<InvocationId>,
}

/// The newest first.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    query: Asked<ListQuery>,
) -> Result<Json<InvocationList>, ApiError> {
    let Query(query) = query?;
    caller.must_list(query.agent.as_deref())?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST);
    let filter = Filter {
        principal: caller.sees_only(),
        agent: query.agent,
        session: query.session.map(|id| id.parse::<SessionId>()).transpose()?,
        state: query.state,
        before: query.before,
        limit,
    };
    let found = api.store.invocations(filter).await?;
    let is_full = found.len() == limit as usize;
    let next = found.last().map(|record| record.id).filter(|_| is_full);
    let invocations = found.iter().map(|record| match api.invocations.live(record.id) {
        // What has come in of its answer is not on record yet.
        Some(live) => InvocationView::of(&live.record()),
        None => InvocationView::of(record),
    });
    Ok(Json(InvocationList { invocations: invocations.collect(), next }))
}
