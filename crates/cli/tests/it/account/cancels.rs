//! Invocations that somebody wants to end: who is told that one was cancelled finds it so.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::{Book, fastrand_millis};
use crate::support::http::{try_post, try_post_async};
use crate::support::session_id;

impl Book {
    /// Begins one invocation after the other, and cancels it about when it ends, until it is over.
    pub(super) async fn keep_cancelling(&self, pause: Duration) {
        let session = session_id("cancel");
        let payload = json!({ "sleep_ms": 50 }).to_string();
        while !self.is_over() || self.cancels.lock().unwrap().is_empty() {
            let url = self.url();
            if let Some(id) = try_post_async(&format!("{url}/invocations"), &session, None, &payload).await {
                tokio::time::sleep(Duration::from_millis(fastrand_millis(80))).await;
                let told = try_post(&format!("{}/_agentcore/v1/invocations/{id}/cancel", self.url())).await;
                self.cancels.lock().unwrap().insert(id, told.map(|told| told.status));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Holds what callers were told against what is on record. How many were told that it is cancelled.
    pub(super) async fn settle_cancels(&self) -> usize {
        let cancels = self.cancels.lock().unwrap().clone();
        for (id, record) in self.look_up(cancels.keys().cloned()).await {
            let state = record["state"].as_str().unwrap();
            match cancels[&id] {
                Some(StatusCode::OK) => assert_eq!(state, "cancelled", "{id} was to be cancelled"),
                Some(StatusCode::CONFLICT) => assert_ne!(state, "cancelled", "{id} had ended before"),
                Some(StatusCode::NOT_FOUND) => panic!("{id} was acknowledged, and could not be cancelled"),
                _ => assert!(!["accepted", "running"].contains(&state), "{id} has no end"),
            }
        }
        cancels.values().filter(|told| **told == Some(StatusCode::OK)).count()
    }
}
