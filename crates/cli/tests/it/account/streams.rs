//! Streams that are read over killed hosts: whoever comes back with the number of the last item gets
//! each one once, in order, and none that was given ever differs or disappears.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Book;
use crate::support::agent::item;
use crate::support::http::{try_follow, try_post_async};
use crate::support::{PATIENCE, session_id};

/// How many items an agent streams.
const ITEMS: usize = 40;

impl Book {
    /// Has one stream after the other made, and reads it to its end, until it is over.
    pub(super) async fn keep_streaming(&self, reader: usize, pause: Duration) {
        let session = session_id(&format!("stream{reader}"));
        while !self.is_over() || self.streams.lock().unwrap().is_empty() {
            let token = Uuid::new_v4().to_string();
            let payload = json!({ "stream": ITEMS, "token": token }).to_string();
            let url = format!("{}/invocations", self.url());
            if let Some(id) = try_post_async(&url, &session, None, &payload).await {
                self.tokens.lock().unwrap().insert(token.clone(), id.clone());
                let items = tokio::time::timeout(PATIENCE, self.read(&id, &token));
                let items = items.await.unwrap_or_else(|_| panic!("{id} has no end"));
                self.streams.lock().unwrap().insert(id, items);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The items of a stream, however often the reader has to come again.
    async fn read(&self, id: &str, token: &str) -> Vec<String> {
        let (mut items, mut is_over) = (Vec::new(), false);
        let token = Value::from(token);
        while !is_over {
            let url = format!("{}/_agentcore/v1/invocations/{id}/events", self.url());
            let status = try_follow(&url, items.len(), |event| match numbered(event) {
                Some((number, data)) => {
                    assert_eq!(number, items.len() + 1, "{id}: an item is missing, or came twice");
                    assert_eq!(data, item(&token, items.len() as u64), "{id}: another item");
                    items.push(data.to_owned());
                }
                None => is_over |= event.starts_with("event: end"),
            })
            .await;
            let is_lost = status.is_some_and(|status| status.is_client_error());
            assert!(!is_lost, "{id}: {status:?} after {} items", items.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        items
    }

    /// Reads every stream again: it is what its reader has seen. How many items there are.
    pub(super) async fn settle_streams(&self) -> usize {
        let streams = self.streams.lock().unwrap().clone();
        let records = self.look_up(streams.keys().cloned()).await;
        for (id, seen) in &streams {
            let mut kept = Vec::new();
            let url = format!("{}/_agentcore/v1/invocations/{id}/events", self.url());
            let take = |event: &str| kept.extend(numbered(event).map(|(_, data)| data.to_owned()));
            assert_eq!(try_follow(&url, 0, take).await, Some(StatusCode::OK));
            assert_eq!(&kept, seen, "{id} is another stream now");
            let is_whole = records[id]["state"] == "completed";
            assert_eq!(is_whole, records[id]["answer"]["complete"] == true, "{}", records[id]);
            assert!(!is_whole || seen.len() == ITEMS, "{id} is completed with {} items", seen.len());
        }
        streams.values().map(Vec::len).sum()
    }
}

/// The number and the data of an item.
pub(super) fn numbered(event: &str) -> Option<(usize, &str)> {
    let (data, number) = event.split_once("data: ")?.1.split_once("\nid: ")?;
    Some((number.parse().ok()?, data))
}
