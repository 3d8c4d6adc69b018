//! What callers are promised by what a host says to them.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::Value;

use super::Book;
use super::streams::numbered;
use super::trace::Happened;
use crate::support::http::{get, post_with, try_follow};

/// All that was promised up to a moment.
#[derive(Default)]
pub(super) struct Promises {
    /// The invocations that were accepted.
    pub(super) accepted: Vec<String>,
    /// Those that have ended, and how.
    ended: BTreeMap<String, String>,
    /// The items that were given a number: that, and the item, by the token of their stream.
    items: BTreeMap<String, BTreeMap<usize, String>>,
    /// The status of the tasks that somebody has seen, by their path.
    tasks: BTreeMap<String, String>,
}

impl Promises {
    pub(super) fn of(happened: &[Happened]) -> Self {
        let mut promises = Self::default();
        for one in happened {
            if let Happened::Said { bytes } = one {
                promises.add(&String::from_utf8_lossy(bytes));
            }
        }
        promises
    }

    fn add(&mut self, said: &str) {
        let head = said.strip_prefix("HTTP/1.1 202");
        if let Some(location) = head.and_then(|head| head.split("/_agentcore/v1/invocations/").nth(1)) {
            self.accepted.push(location[..36].to_owned());
        }
        for (number, data) in said.split("\n\n").filter_map(numbered) {
            let item: Value = serde_json::from_str(data).unwrap();
            let token = item["token"].as_str().unwrap().to_owned();
            self.items.entry(token).or_default().insert(number, data.to_owned());
        }
        let body = said.split_once("\r\n\r\n").map(|(_, body)| body);
        if let Some(record) = body.and_then(|body| serde_json::from_str::<Value>(body).ok()) {
            self.add_record(&record);
        }
    }

    /// An invocation that has ended, or a task.
    fn add_record(&mut self, record: &Value) {
        let text = |name: &str| record[name].as_str().map(str::to_owned);
        if let (Some(id), Some(state), false) = (text("id"), text("state"), record["ended_at"].is_null()) {
            self.ended.insert(id, state);
        }
        if let (Some(incarnation), Some(status)) = (text("incarnation"), text("status")) {
            let path = format!("/_agentcore/v1/tasks/{incarnation}/{}", record["task_id"]);
            self.tasks.insert(path, status);
        }
    }

    /// How many there are of each kind.
    pub(super) fn count(&self) -> [usize; 4] {
        let items = self.items.values().map(BTreeMap::len).sum();
        [self.accepted.len(), self.ended.len(), items, self.tasks.len()]
    }

    /// Holds what a host has on record against it. What callers were told came from the one of `before`.
    pub(super) async fn expect(&self, host: &str, before: &Book) {
        let book = Book::at(host);
        for (id, record) in book.look_up(self.ended.keys().cloned()).await {
            assert_eq!(record["state"], *self.ended[&id], "{id} has ended otherwise");
        }
        for (token, items) in &self.items {
            let id = before.tokens.lock().unwrap()[token].clone();
            let mut kept = BTreeMap::new();
            let url = format!("{host}/_agentcore/v1/invocations/{id}/events");
            let take = |event: &str| {
                kept.extend(numbered(event).map(|(number, data)| (number, data.to_owned())));
            };
            assert_eq!(try_follow(&url, 0, take).await, Some(StatusCode::OK), "{id}");
            for (number, item) in items {
                assert_eq!(kept.get(number), Some(item), "{id} lacks an item that was given");
            }
        }
        for (task, status) in &self.tasks {
            let answer = get(&format!("{host}{task}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{task} was seen and has vanished");
            let is_over = status != "running";
            assert!(
                !is_over || answer.json()["status"] == *status.as_str(),
                "{task} was {status}: {answer:?}"
            );
        }
        self.expect_keys(host, before).await;
    }

    /// Who comes again with a key joins what was acknowledged.
    async fn expect_keys(&self, host: &str, before: &Book) {
        let keys = before.keys.lock().unwrap().clone();
        for (key, (session, payload, id)) in keys.iter().filter(|(_, (_, _, id))| self.accepted.contains(id))
        {
            let session = (agentcore_protocol::headers::SESSION_ID, &**session);
            let headers = [session, ("prefer", "respond-async"), ("idempotency-key", key)];
            let again = post_with(&format!("{host}/invocations"), &headers, payload).await;
            let known = &again.headers[agentcore_protocol::headers::INVOCATION_ID];
            assert_eq!(known.to_str().unwrap(), id, "its key is not known: {:?}", again.status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_a_promise() {
        let id = "01a20ac3-4017-7955-8704-11a0f08068df";
        let said = |text: String| Happened::Said { bytes: text.into() };
        let promises = Promises::of(&[
            said(format!("HTTP/1.1 202 Accepted\r\nlocation: /_agentcore/v1/invocations/{id}\r\n\r\n{{}}")),
            said("1c\r\ndata: {\"token\":\"a\"}\nid: 1\n\ndata: {\"token\":\"a\"}\nid: 2\n\n\r\n".into()),
            said(
                r#"HTTP/1.1 200 OK"#.to_owned()
                    + "\r\n\r\n"
                    + r#"{"id":"x","state":"cancelled","ended_at":1}"#,
            ),
            said(
                r#"HTTP/1.1 200 OK"#.to_owned()
                    + "\r\n\r\n"
                    + r#"{"id":"y","state":"running","ended_at":null}"#,
            ),
            said(
                r#"HTTP/1.1 200 OK"#.to_owned()
                    + "\r\n\r\n"
                    + r#"{"incarnation":"i","task_id":7,"status":"lost"}"#,
            ),
        ]);
        assert_eq!(promises.count(), [1, 1, 2, 1]);
    }
}
