//! The one path that is for the host alone: it asks for the end of a task.

use agentcore_protocol::agent::task_to_cancel;
use agentcore_protocol::{TaskId, error::ErrorBody};
use http::{Method, Request, StatusCode};
use serde::Serialize;

use crate::respond::{self, Response};
use crate::service::Shared;
use crate::tasks::Cancelling;

#[derive(Serialize)]
struct Accepted {
    task_id: TaskId,
}

impl Shared {
    /// The task whose end this path stands for, if a host is there to ask.
    pub(crate) fn task_to_cancel(&self, path: &str) -> Option<TaskId> {
        task_to_cancel(path).filter(|_| self.hosted)
    }

    /// The answer, if this request asks for the end of a task and a host is there to ask.
    pub(crate) fn cancellation<B>(&self, request: &Request<B>) -> Option<Response> {
        let task_id = self.task_to_cancel(request.uri().path())?;
        if request.method() != Method::POST {
            return Some(respond::method_not_allowed("POST"));
        }
        let cancelling = self.tasks.begin_to_cancel(task_id);
        if cancelling == Cancelling::NotRunning {
            return Some(respond::json(
                StatusCode::CONFLICT,
                &ErrorBody::new(format!("No task {task_id} is running")),
            ));
        }
        if let Some(interrupter) = self.interrupter.as_ref().filter(|_| cancelling == Cancelling::Begun) {
            interrupter(task_id);
        }
        Some(respond::json(StatusCode::ACCEPTED, &Accepted { task_id }))
    }
}
