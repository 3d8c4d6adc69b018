//! What can go wrong, and the HTTP status that says so.

use std::path::PathBuf;

use bedrock_agentcore::{HandlerError, StatusCode, TaskId, TaskStatus};

use crate::folder::FolderError;
use crate::library::LibraryError;
use crate::request::RequestError;
use crate::search::SearchError;

/// Why the agent does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The payload was not understood.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// There is no such folder to index.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The index is at fault.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The search has no answer.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// Another folder is being indexed.
    #[error(
        "task {task_id} is indexing {folder:?}: wait until it has ended, or send {{\"action\": \"cancel\", \"task_id\": {task_id}}} first"
    )]
    Busy {
        /// By which task.
        task_id: TaskId,
        /// Which folder.
        folder: PathBuf,
    },
    /// There is no such task.
    #[error("there is no task {0}: send {{\"action\": \"progress\"}} for those there are")]
    UnknownTask(TaskId),
    /// The task has ended.
    #[error("task {task_id} has ended already ({}): there is nothing to cancel", name(*.status))]
    Ended {
        /// Which task.
        task_id: TaskId,
        /// How.
        status: TaskStatus,
    },
}

fn name(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Running => "running",
        TaskStatus::Completed => "completed",
        TaskStatus::Failed => "failed",
        TaskStatus::Cancelled => "cancelled",
    }
}

impl From<AgentError> for HandlerError {
    fn from(error: AgentError) -> Self {
        let status = match &error {
            AgentError::Request(_)
            | AgentError::Folder(FolderError::NotAFolder(_) | FolderError::Unusable { .. })
            | AgentError::Search(SearchError::Query(_)) => StatusCode::BAD_REQUEST,
            AgentError::Folder(FolderError::Missing { .. } | FolderError::NoDefault { .. })
            | AgentError::Search(SearchError::NothingIndexed)
            | AgentError::UnknownTask(_) => StatusCode::NOT_FOUND,
            AgentError::Busy { .. }
            | AgentError::Ended { .. }
            | AgentError::Library(LibraryError::InUse { .. }) => StatusCode::CONFLICT,
            AgentError::Library(_) | AgentError::Search(SearchError::Index(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }
}
