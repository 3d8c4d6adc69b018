//! Tasks on record: each that an agent has reported is there, and comes to an end.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Book, fastrand_millis};
use crate::support::http::{get, try_get, try_post_async};
use crate::support::{PATIENCE, eventually, session_id};

impl Book {
    /// Has one task after the other begun, until it is over.
    pub(super) async fn keep_working(&self, worker: usize, pause: Duration) {
        let session = session_id(&format!("work{worker}"));
        while !self.is_over() || self.tasks.lock().unwrap().is_empty() {
            let token = Uuid::new_v4().to_string();
            let payload = json!({ "task_ms": fastrand_millis(400), "token": token }).to_string();
            let url = format!("{}/invocations", self.url());
            if let Some(id) = try_post_async(&url, &session, None, &payload).await
                && let Some(task) = self.task_of(&id).await
            {
                self.until_there(&task).await;
                self.tasks.lock().unwrap().insert(task, token);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until a task that was reported is on record, with whichever host.
    async fn until_there(&self, task: &str) {
        eventually("the task is on record", || async {
            let answer = try_get(&format!("{}{task}", self.url())).await?;
            (answer.status == StatusCode::OK).then_some(())
        })
        .await;
    }

    /// Where the task is that an invocation began, if its answer says so.
    async fn task_of(&self, id: &str) -> Option<String> {
        let record = tokio::time::timeout(PATIENCE, async {
            loop {
                let url = format!("{}/_agentcore/v1/invocations/{id}?wait=5", self.url());
                match try_get(&url).await.filter(|answer| answer.status == StatusCode::OK) {
                    Some(answer) if !answer.json()["ended_at"].is_null() => break answer.json(),
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        let record = record.await.unwrap_or_else(|_| panic!("{id} has no end"));
        let task = record["answer"]["body"]["task_id"].as_u64()?;
        Some(format!("/_agentcore/v1/tasks/{}/{task}", record["incarnation"].as_str().unwrap()))
    }

    /// What has become of every task that an agent has reported. How often each status occurs.
    pub(super) async fn settle_tasks(&self) -> BTreeMap<String, usize> {
        eventually("every task has ended", || async {
            let list = get(&format!("{}/_agentcore/v1/tasks?status=running", self.url())).await.json();
            list["tasks"].as_array()?.is_empty().then_some(())
        })
        .await;
        let tasks = self.tasks.lock().unwrap().clone();
        let mut statuses = BTreeMap::new();
        for (task, token) in tasks {
            let answer = get(&format!("{}{task}", self.url())).await;
            assert_eq!(answer.status, StatusCode::OK, "{task} was reported and has vanished: {answer:?}");
            let (task, token) = (answer.json(), Value::from(token));
            match task["status"].as_str().unwrap() {
                "completed" => assert_eq!(task["result"], token, "another's result"),
                "lost" => assert!(task["reason"].is_object(), "{task}"),
                other => panic!("{task} is {other}"),
            }
            *statuses.entry(task["status"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        statuses
    }
}
