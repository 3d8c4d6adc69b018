//! Random histories of the registry, against a model that is too simple to be wrong.

use std::collections::{BTreeMap, VecDeque};

use agentcore_protocol::journal::{FILE_NAME, TaskChange, read};
use bedrock_agentcore::{App, AppService, FinishedLimits, TaskGuard, TaskId, TaskStatus, Tasks};
use proptest::prelude::*;

const KEPT: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Start { manual: bool },
    Progress(usize),
    Complete(usize),
    Fail(usize),
    Cancel(usize),
    CompleteAgain(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => any::<bool>().prop_map(|manual| Step::Start { manual }),
        1 => any::<usize>().prop_map(Step::Progress),
        2 => any::<usize>().prop_map(Step::Complete),
        1 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::CompleteAgain),
    ];
    proptest::collection::vec(step, 0..60)
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    status: Option<TaskStatus>,
    cancelled: bool,
    progress: Option<String>,
    result: Option<String>,
}

#[derive(Default)]
struct Model {
    running: BTreeMap<TaskId, Known>,
    finished: VecDeque<(TaskId, Known)>,
}

impl Model {
    fn end(&mut self, id: TaskId, status: TaskStatus, result: Option<String>) {
        let mut known = self.running.remove(&id).expect("it runs");
        let cancelled = known.cancelled && status == TaskStatus::Completed;
        known.status = Some(if cancelled { TaskStatus::Cancelled } else { status });
        known.result = result.filter(|_| !cancelled);
        self.finished.push_back((id, known));
        if self.finished.len() > KEPT {
            self.finished.pop_front();
        }
    }
}

/// The registry and the model, side by side.
struct Pair {
    tasks: Tasks,
    service: AppService,
    guards: BTreeMap<TaskId, Option<TaskGuard>>,
    model: Model,
    all: Vec<TaskId>,
}

impl Pair {
    fn new(journal: &std::path::Path) -> Self {
        let app = App::new().journal(journal).finished_tasks(FinishedLimits { count: KEPT, bytes: 1 << 20 });
        let (tasks, service) = (app.tasks(), app.into_service().unwrap());
        Self { tasks, service, guards: BTreeMap::new(), model: Model::default(), all: Vec::new() }
    }

    fn pick(&self, n: usize) -> Option<TaskId> {
        let running: Vec<_> = self.model.running.keys().copied().collect();
        (!running.is_empty()).then(|| running[n % running.len()])
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Start { manual } => {
                let guard = (!manual).then(|| self.tasks.task("t").start());
                let id = match &guard {
                    Some(guard) => guard.id(),
                    None => self.tasks.add_async_task("t", ()),
                };
                self.guards.insert(id, guard);
                self.model
                    .running
                    .insert(id, Known { status: Some(TaskStatus::Running), ..Known::default() });
                self.all.push(id);
            }
            Step::Progress(n) => {
                let Some(id) = self.pick(n) else { return };
                assert!(self.tasks.report_progress(id, n));
                self.model.running.get_mut(&id).unwrap().progress = Some(n.to_string());
            }
            Step::Complete(n) => {
                let Some(id) = self.pick(n) else { return };
                let result = self.guards.remove(&id).unwrap().map(|guard| guard.complete(n));
                if result.is_none() {
                    assert!(self.tasks.complete_async_task(id));
                }
                self.model.end(id, TaskStatus::Completed, result.map(|()| n.to_string()));
            }
            Step::Fail(n) => {
                let Some(id) = self.pick(n) else { return };
                if let Some(guard) = self.guards.remove(&id).unwrap() {
                    guard.fail("no");
                    self.model.end(id, TaskStatus::Failed, None);
                } else {
                    self.guards.insert(id, None);
                }
            }
            Step::Cancel(n) => {
                let Some(id) = self.pick(n) else { return };
                assert!(self.tasks.cancel(id));
                self.model.running.get_mut(&id).unwrap().cancelled = true;
            }
            Step::CompleteAgain(n) => {
                let Some(&(id, _)) = self.model.finished.get(n % KEPT) else { return };
                assert!(!self.tasks.complete_async_task(id));
                assert!(!self.tasks.cancel(id));
                assert!(!self.tasks.report_progress(id, n));
            }
        }
    }

    async fn compare(&self) {
        let (tasks, model) = (&self.tasks, &self.model);
        assert_eq!(tasks.active_count(), model.running.len());
        let info = tasks.get_async_task_info();
        assert_eq!(info.active_count, info.running_jobs.len());
        let listed: Vec<_> = info.running_jobs.iter().map(|job| job.task_id).collect();
        let expected: Vec<_> = self.all.iter().filter(|id| model.running.contains_key(id)).copied().collect();
        assert_eq!(listed, expected, "oldest first");
        let busy = crate::support::status(&self.service).await == "HealthyBusy";
        assert_eq!(busy, !model.running.is_empty());
        for id in &self.all {
            let finished = model.finished.iter().find(|(known, _)| known == id).map(|(_, known)| known);
            let expected = model.running.get(id).or(finished).cloned();
            let actual = tasks.get_async_task(*id).map(|record| Known {
                status: Some(record.status),
                cancelled: expected.as_ref().is_some_and(|known| known.cancelled),
                progress: record.progress.map(|progress| progress.get().to_owned()),
                result: record.result.map(|result| result.get().to_owned()),
            });
            assert_eq!(actual, expected);
        }
    }

    /// What a reader of the journal comes to know is what the registry knows.
    fn compare_with_journal(&self, journal: &std::path::Path) {
        let mut replayed: BTreeMap<TaskId, Known> = BTreeMap::new();
        for line in read(&std::fs::read(journal.join(FILE_NAME)).unwrap()).lines {
            let line = line.expect("every line can be read");
            let known = replayed.entry(line.task_id).or_default();
            match line.change {
                TaskChange::Started { .. } => known.status = Some(TaskStatus::Running),
                TaskChange::Progress(progress) => known.progress = Some(progress.get().to_owned()),
                TaskChange::Completed(result) => {
                    known.status = Some(TaskStatus::Completed);
                    known.result = result.map(|result| result.get().to_owned());
                }
                TaskChange::Failed(_) => known.status = Some(TaskStatus::Failed),
                TaskChange::Cancelled => known.status = Some(TaskStatus::Cancelled),
            }
        }
        assert_eq!(replayed.len(), self.all.len());
        let model = self.model.running.iter().map(|(id, known)| (*id, known));
        for (id, known) in model.chain(self.model.finished.iter().map(|(id, known)| (*id, known))) {
            assert_eq!(replayed[&id], Known { cancelled: false, ..known.clone() });
        }
    }
}

/// Fewer cases than usual, for each has many steps, unless PROPTEST_CASES asks for a number.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if asked { usual.cases } else { 96 }, ..usual }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn the_registry_does_what_the_model_does(steps in steps()) {
        let journal = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new(journal.path());
            for step in &steps {
                pair.take(step);
                pair.compare().await;
            }
            pair.compare_with_journal(journal.path());
        });
    }
}
