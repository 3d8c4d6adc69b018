use std::time::Duration;

use agentcore_protocol::{IncarnationId, SessionId, TaskFailure, TaskId, Timestamp};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::write::{MOST_BYTES, MOST_TASKS};
use super::*;
use crate::key::{Principal, SessionKey};
use crate::options::{AgentRetention, Retention};
use crate::store::{Change, NewIncarnation, Phase, Store, TimelineEntry, Write};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn raw(value: impl serde::Serialize) -> Box<RawValue> {
    to_raw_value(&value).unwrap()
}

fn id(number: u64) -> TaskId {
    TaskId::from_random(number)
}

/// A store with one session that runs.
struct Desk {
    _folder: tempfile::TempDir,
    store: Store,
    incarnation: IncarnationId,
    key: SessionKey,
}

impl Desk {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("db")).await.unwrap();
        let incarnation = IncarnationId::try_from(Uuid::from_u128(1)).unwrap();
        let key = SessionKey {
            principal: Principal::local(),
            agent: "writer".into(),
            session: SessionId::from(Uuid::from_u128(7)),
        };
        let begun = NewIncarnation {
            id: incarnation,
            key: key.clone(),
            folder: "1".into(),
            limits: agentcore_protocol::LifecycleLimits::default(),
            started_at: at(1),
        };
        store.write(Write::Begin(begun)).await.unwrap();
        Self { _folder: folder, store, incarnation, key }
    }

    async fn apply(&self, updates: Vec<TaskUpdate>) {
        let changes = TaskChanges {
            incarnation: self.incarnation,
            key: self.key.clone(),
            position: JournalPosition { inode: 3, offset: 4 },
            updates,
            at: at(100),
        };
        self.store.write(Write::Tasks(Box::new(changes))).await.unwrap();
    }

    async fn task(&self, number: u64) -> Option<RecordedTask> {
        self.store.task(self.incarnation, id(number)).await.unwrap()
    }

    async fn list(&self, filter: TaskFilter) -> Vec<TaskId> {
        let filter = TaskFilter { limit: filter.limit.max(100_000), ..filter };
        self.store.tasks(filter).await.unwrap().iter().map(|task| task.task_id).collect()
    }

    async fn stop(&self) {
        let reason = StopReason::idle(Duration::from_secs(5));
        let change = Change {
            phase: Phase::Stopped,
            idle_since: None,
            ended_at: Some(at(900)),
            reason: Some(reason),
            last_words: None,
        };
        let write = Write::Happened { incarnation: self.incarnation, entries: vec![], change: Some(change) };
        self.store.write(write).await.unwrap();
    }
}

fn nothing(number: u64) -> TaskUpdate {
    TaskUpdate { task_id: id(number), started: None, progress: None, end: None }
}

fn started(number: u64) -> TaskUpdate {
    let start = TaskStart { at: at(10 + number), name: format!("task {number}"), metadata: None };
    TaskUpdate { started: Some(start), ..nothing(number) }
}

fn ended(number: u64, end: TaskEnd) -> TaskUpdate {
    TaskUpdate { end: Some((at(50 + number), end)), ..nothing(number) }
}

#[tokio::test]
async fn a_task_goes_from_its_start_to_its_result() {
    let desk = Desk::open().await;
    let progress = Some((at(20), raw(0.5)));
    desk.apply(vec![TaskUpdate { progress, ..started(1) }]).await;
    let task = desk.task(1).await.unwrap();
    assert_eq!((task.name.as_str(), task.state, task.updated_at), ("task 1", TaskState::Running, at(20)));
    assert_eq!(task.progress.unwrap().get(), "0.5");

    desk.apply(vec![ended(1, TaskEnd::Completed(Some(raw("done"))))]).await;
    // What comes after the end does not count.
    desk.apply(vec![
        ended(1, TaskEnd::Cancelled),
        TaskUpdate { progress: Some((at(60), raw(1))), ..nothing(1) },
    ])
    .await;
    let task = desk.task(1).await.unwrap();
    assert_eq!((task.state, task.ended_at), (TaskState::Completed, Some(at(51))));
    assert_eq!(task.result.unwrap().get(), "\"done\"");
    assert_eq!(task.progress.unwrap().get(), "0.5");
    let position = desk.store.journal(desk.incarnation).await.unwrap();
    assert_eq!(position, JournalPosition { inode: 3, offset: 4 });
}

#[tokio::test]
async fn what_is_said_of_a_task_that_never_began_does_not_count() {
    let desk = Desk::open().await;
    desk.apply(vec![ended(1, TaskEnd::Cancelled)]).await;
    assert!(desk.task(1).await.is_none());
}

#[tokio::test]
async fn running_tasks_are_lost_with_their_session_and_its_reason() {
    let desk = Desk::open().await;
    let failure = TaskFailure { kind: "ValueError".into(), message: "no".into() };
    desk.apply(vec![started(1), started(2), ended(2, TaskEnd::Failed(failure.clone()))]).await;
    desk.stop().await;
    let lost = desk.task(1).await.unwrap();
    assert_eq!((lost.state, lost.ended_at), (TaskState::Lost, Some(at(900))));
    assert_eq!(lost.reason, Some(StopReason::idle(Duration::from_secs(5))));
    let failed = desk.task(2).await.unwrap();
    assert_eq!((failed.state, failed.error, failed.reason), (TaskState::Failed, Some(failure), None));
}

#[tokio::test]
async fn tasks_are_listed_newest_first_a_page_at_a_time_and_only_those_asked_for() {
    let desk = Desk::open().await;
    desk.apply(vec![started(1), started(2), started(3), ended(2, TaskEnd::Cancelled)]).await;
    assert_eq!(desk.list(TaskFilter::default()).await, [id(3), id(2), id(1)]);
    let before = Some((desk.incarnation, id(3)));
    let page = TaskFilter { before, limit: 1, ..TaskFilter::default() };
    let page = desk.store.tasks(page).await.unwrap();
    assert_eq!(page.iter().map(|task| task.task_id).collect::<Vec<_>>(), [id(2)]);
    let running = TaskFilter { state: Some(TaskState::Running), ..TaskFilter::default() };
    assert_eq!(desk.list(running).await, [id(3), id(1)]);
    let somebodys = TaskFilter { principal: Some(Principal::named("key:ann")), ..TaskFilter::default() };
    assert!(desk.list(somebodys).await.is_empty());
    let of_session = TaskFilter {
        agent: Some("writer".into()),
        session: Some(desk.key.session.clone()),
        ..TaskFilter::default()
    };
    assert_eq!(desk.list(of_session).await.len(), 3);
}

#[tokio::test]
async fn the_tasks_that_ended_first_make_room() {
    let desk = Desk::open().await;
    let most = MOST_TASKS as u64;
    desk.apply((0..most).map(started).collect()).await;
    desk.apply(vec![started(most)]).await;
    assert!(desk.task(most).await.is_none(), "none has ended");
    let timeline: Vec<TimelineEntry> = desk.store.timeline(desk.incarnation).await.unwrap();
    assert_eq!(timeline[0].event, "tasks_left_out");
    desk.apply(vec![ended(5, TaskEnd::Cancelled)]).await;
    desk.apply(vec![started(most + 1)]).await;
    assert!(desk.task(5).await.is_none() && desk.task(most + 1).await.is_some());
    assert_eq!(desk.list(TaskFilter::default()).await.len() as i64, MOST_TASKS);
}

#[tokio::test]
async fn values_are_kept_up_to_a_sum_and_the_ends_of_tasks_always() {
    let desk = Desk::open().await;
    let large = || Some(raw("x".repeat(MOST_BYTES as usize / 2)));
    desk.apply(vec![started(1), ended(1, TaskEnd::Completed(large()))]).await;
    desk.apply(vec![started(2), ended(2, TaskEnd::Completed(large()))]).await;
    assert!(desk.task(1).await.is_none(), "it made room");
    assert!(desk.task(2).await.unwrap().result.is_some());
    let too_large = Some(raw("x".repeat(MOST_BYTES as usize)));
    desk.apply(vec![started(3), ended(3, TaskEnd::Completed(too_large))]).await;
    let task = desk.task(3).await.unwrap();
    assert!(task.result.is_none() && task.state == TaskState::Completed);
}

#[tokio::test]
async fn tasks_of_ended_sessions_are_forgotten_by_age_and_by_number() {
    let desk = Desk::open().await;
    desk.apply((1..=6).flat_map(|number| [started(number), ended(number, TaskEnd::Cancelled)]).collect())
        .await;
    let retention =
        Retention { tasks_per_agent: 2, task_age: Duration::from_millis(60), ..Retention::default() };
    let prune = async |retention, own: &[(String, Retention)]| {
        let own = own.iter().cloned().collect();
        desk.store.write(Write::PruneTasks { retention, own, now: at(113) }).await.unwrap();
    };
    prune(retention, &[]).await;
    assert_eq!(desk.list(TaskFilter::default()).await.len(), 6, "the session runs");
    desk.stop().await;
    let by_age = Retention { task_age: Duration::from_millis(60), ..Retention::default() };
    prune(by_age, &[]).await;
    assert_eq!(desk.list(TaskFilter::default()).await, [id(6), id(5), id(4), id(3)]);
    let by_number = Retention { tasks_per_agent: 2, ..Retention::default() };
    prune(by_number, &[]).await;
    assert_eq!(desk.list(TaskFilter::default()).await, [id(6), id(5)]);
    let own = by_number.of(Some(AgentRetention { tasks: Some(1), ..AgentRetention::default() }));
    prune(by_number, &[("another".into(), own)]).await;
    assert_eq!(desk.list(TaskFilter::default()).await, [id(6), id(5)], "it is another's");
    prune(by_number, &[("writer".into(), own)]).await;
    assert_eq!(desk.list(TaskFilter::default()).await, [id(6)]);
}
