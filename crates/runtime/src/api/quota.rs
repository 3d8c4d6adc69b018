//! How many requests a principal may make per second.

use std::sync::Arc;

use agentcore_auth::Principal;
use dashmap::DashMap;

use super::ApiError;
use crate::rate::TokenBucket;
use crate::time::HostClock;

/// So many principals are remembered before those who were not here within the last second are
/// forgotten.
const REMEMBERED: usize = 10_000;

/// Counts the requests of each principal.
pub(crate) struct Quotas {
    /// `None`: as many as they like.
    per_second: Option<u32>,
    buckets: DashMap<Arc<str>, TokenBucket>,
}

impl Quotas {
    /// So many requests per second, and as many in one burst.
    pub(crate) fn new(per_second: Option<u32>) -> Self {
        Self { per_second, buckets: DashMap::new() }
    }

    /// Counts a request, or refuses it.
    pub(super) fn take(&self, principal: &Principal, clock: &HostClock) -> Result<(), ApiError> {
        let Some(limit) = self.per_second else { return Ok(()) };
        let now = clock.now();
        if self.buckets.len() > REMEMBERED {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = self.buckets.entry(principal.name().clone());
        let taken = bucket.or_insert_with(|| TokenBucket::full(limit, now)).take(now);
        if taken { Ok(()) } else { Err(ApiError::TooOften(limit)) }
    }
}
