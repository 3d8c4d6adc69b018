//! The entrypoint: from a payload to an answer.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bedrock_agentcore::{App, HandlerError, Task, TaskId, TaskRecord, TaskStatus, Tasks};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::error::AgentError;
use crate::folder;
use crate::index::{Build, Pace, Phase, Progress};
use crate::library::Library;
use crate::request::Request;
use crate::search::search;

/// How often a task says how far it is: each time is a line in the task journal.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// The app: one entrypoint over `library`.
pub fn app(library: Library) -> App {
    let agent = Agent { library: Arc::new(library), current: Mutex::default() };
    // It reads files and searches on disk, so it runs where it may block.
    App::new().entrypoint_blocking(move |payload: Value, tasks: Tasks| {
        agent.answer(payload, &tasks).map_err(HandlerError::from)
    })
}

struct Agent {
    library: Arc<Library>,
    /// The task that indexes, or that was the last to do so.
    current: Mutex<Option<Indexing>>,
}

struct Indexing {
    task_id: TaskId,
    folder: PathBuf,
}

impl Agent {
    fn answer(&self, payload: Value, tasks: &Tasks) -> Result<Value, AgentError> {
        match Request::parse(payload)? {
            Request::Index { path } => self.index(folder::resolve(path.as_deref())?, tasks),
            Request::Progress { task_id: None } => Ok(overview(tasks)),
            Request::Progress { task_id: Some(id) } => Ok(json!(record(id, tasks)?)),
            Request::Search { query, limit } => Ok(json!(search(&self.library, &query, limit)?)),
            Request::Cancel { task_id } => cancel(task_id, tasks),
            Request::Status {} => Ok(self.status(tasks)),
        }
    }

    /// Starts to index `folder`, and answers at once. One folder is indexed at a time: asked for
    /// it again, the answer names the task that is at it.
    fn index(&self, folder: PathBuf, tasks: &Tasks) -> Result<Value, AgentError> {
        // Held until the new task is in its place, so that of two requests one is the second.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = current.as_ref().filter(|last| is_running(last.task_id, tasks)) {
            return match last.folder == folder {
                true => Ok(started("already running", last.task_id, &folder)),
                false => Err(AgentError::Busy { task_id: last.task_id, folder: last.folder.clone() }),
            };
        }
        let build = Build::begin(Arc::clone(&self.library), folder.clone(), Pace::default())?;
        let metadata = json!({"folder": folder});
        let task = tasks.task("index").metadata(metadata).spawn_blocking(move |task| {
            let mut reporter = Reporter { task, last: None };
            build.run(&mut |progress| reporter.observe(progress))
        });
        let task_id = task.id();
        let answer = started("started", task_id, &folder);
        *current = Some(Indexing { task_id, folder });
        Ok(answer)
    }

    fn status(&self, tasks: &Tasks) -> Value {
        let running = tasks.get_async_task_info().running_jobs;
        json!({
            "status": if running.is_empty() { "idle" } else { "indexing" },
            "index": self.library.snapshot().contents,
            "index_folder": self.library.folder(),
            "running": running,
        })
    }
}

fn started(status: &str, task_id: TaskId, folder: &Path) -> Value {
    json!({"status": status, "task_id": task_id, "folder": folder})
}

/// The tasks that run and those that have ended, oldest first.
fn overview(tasks: &Tasks) -> Value {
    let running = tasks.get_async_task_info().running_jobs;
    let running: Vec<_> = running.iter().filter_map(|job| tasks.get_async_task(job.task_id)).collect();
    json!({"running": running, "finished": tasks.finished()})
}

fn record(id: TaskId, tasks: &Tasks) -> Result<TaskRecord, AgentError> {
    tasks.get_async_task(id).ok_or(AgentError::UnknownTask(id))
}

fn is_running(id: TaskId, tasks: &Tasks) -> bool {
    tasks.get_async_task(id).is_some_and(|task| task.status == TaskStatus::Running)
}

fn cancel(task_id: TaskId, tasks: &Tasks) -> Result<Value, AgentError> {
    if tasks.cancel(task_id) {
        return Ok(json!({"status": "cancelling", "task_id": task_id}));
    }
    Err(AgentError::Ended { task_id, status: record(task_id, tasks)?.status })
}

/// Passes progress on, but not every file of it.
struct Reporter {
    task: Task,
    last: Option<(Phase, Instant)>,
}

impl Reporter {
    fn observe(&mut self, progress: &Progress) -> ControlFlow<()> {
        let (now, cancelled) = (Instant::now(), self.task.is_cancelled());
        let due = self.last.is_none_or(|(phase, at)| phase != progress.phase || now - at >= REPORT_EVERY);
        if due || cancelled {
            self.last = Some((progress.phase, now));
            self.task.report_progress(progress);
        }
        if cancelled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
