use std::time::Duration;

use agentcore_protocol::{IncarnationId, InvocationId, LifecycleLimits, SessionId, Timestamp};
use axum::http::HeaderMap;
use rusqlite::Connection;
use uuid::Uuid;

use super::*;
use crate::agent::AgentDefinition;
use crate::invocations::{NewInvocation, Payload, Request};
use crate::key::{Principal, SessionKey};
use crate::options::Retention;
use crate::registry::{Endpoint, Runtime, Settings, Version};
use crate::session::reason::{StopKind, StopReason};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn begin(number: u128, started_at: u64) -> NewIncarnation {
    NewIncarnation {
        id: IncarnationId::try_from(Uuid::from_u128(number)).unwrap(),
        key: SessionKey {
            principal: Principal::local(),
            agent: "writer".into(),
            session: SessionId::from(Uuid::from_u128(7)),
        },
        folder: format!("{number:016x}"),
        limits: LifecycleLimits::default(),
        started_at: at(started_at),
    }
}

fn stopped(ended_at: u64) -> Change {
    Change {
        phase: Phase::Stopped,
        idle_since: None,
        ended_at: Some(at(ended_at)),
        reason: Some(StopReason::idle(Duration::from_secs(900))),
        last_words: Some("bye".into()),
    }
}

fn entry(event: &str) -> TimelineEntry {
    TimelineEntry { at: at(5), event: event.to_owned(), detail: None }
}

async fn open() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("db")).await.unwrap();
    (folder, store)
}

/// How SQLite would carry out a query.
pub(super) async fn plan(sql: &str, values: Vec<rusqlite::types::Value>) -> String {
    let (_folder, store) = open().await;
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let read = store.read(move |connection| {
        let mut query = connection.prepare(&sql)?;
        let steps = query.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3))?;
        Ok(steps.collect::<Result<Vec<_>, _>>()?.join("\n"))
    });
    read.await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_for_the_next_host() {
    let (folder, store) = open().await;
    let new = begin(1, 10);
    store.write(Write::Begin(new.clone())).await.unwrap();
    let incarnation = new.id;
    let entries = vec![entry("started"), entry("stopped")];
    store
        .write(Write::Happened { incarnation, entries: entries.clone(), change: Some(stopped(20)) })
        .await
        .unwrap();
    let next = Store::open(&folder.path().join("db")).await.unwrap();
    assert!(next.incarnations(SessionFilter::living()).await.unwrap().is_empty());
    let record = next
        .incarnations(SessionFilter::session("writer", new.key.session.clone(), 9))
        .await
        .unwrap()
        .remove(0);
    assert_eq!((record.begun.id, record.begun.key, record.begun.limits), (new.id, new.key, new.limits));
    assert_eq!(record.now.reason.unwrap().kind, StopKind::IdleTimeout);
    assert_eq!(record.now.last_words.as_deref(), Some("bye"));
    assert_eq!(next.timeline(new.id).await.unwrap(), entries);
}

#[tokio::test]
async fn the_log_is_written_over_while_writes_never_stop() {
    let (folder, store) = open().await;
    let new = begin(1, 10);
    store.write(Write::Begin(new.clone())).await.unwrap();
    let log = folder.path().join("db-wal");
    let write_on = || async {
        // One write a commit.
        for _ in 0..500 {
            let entries = vec![entry("x")];
            store.enqueue(Write::Happened { incarnation: new.id, entries, change: None }).await;
            store.write(Write::Nothing).await.unwrap();
        }
    };
    let mut sizes = Vec::new();
    for _ in 0..4 {
        tokio::join!(write_on(), write_on());
        sizes.push(std::fs::metadata(&log).unwrap().len());
    }
    assert_eq!(sizes[1], sizes[3], "it grows and grows: {sizes:?}");
}

#[tokio::test]
async fn a_bad_write_spoils_itself_alone() {
    let (_folder, store) = open().await;
    let (first, twice, other) = tokio::join!(
        store.write(Write::Begin(begin(1, 10))),
        store.write(Write::Begin(begin(1, 10))),
        store.write(Write::Begin(begin(2, 10))),
    );
    assert!(first.is_ok() && other.is_ok());
    assert!(matches!(twice, Err(StoreError::Sqlite(_))));
    assert_eq!(store.incarnations(SessionFilter::living()).await.unwrap().len(), 2);
}

fn runtime() -> Runtime {
    let endpoint = Endpoint {
        id: "prod-0123456789".into(),
        version: 1,
        description: Some("for real".into()),
        tags: [("a".to_owned(), "b".to_owned())].into(),
        created_at: at(1),
        updated_at: at(2),
    };
    let version = Version {
        settings: Settings::local("arn:aws:iam::1:role/local"),
        definition: AgentDefinition::new("writer", "/bin/a", "/srv"),
        created_at: at(1),
    };
    Runtime {
        id: "writer-0123456789".into(),
        name: "writer".into(),
        created_at: at(1),
        last_version: 3,
        tags: [("team".to_owned(), "red".to_owned())].into(),
        versions: [(1, Arc::new(version))].into(),
        endpoints: [("prod".to_owned(), endpoint)].into(),
    }
}

async fn change(store: &Store, before: Option<&Arc<Runtime>>, change: crate::registry::Change) {
    store.write(Write::Catalogue { before: before.cloned(), change, answered: None }).await.unwrap();
}

#[tokio::test]
async fn a_runtime_is_kept_as_it_is_and_goes_with_all_it_has() {
    use crate::registry::Change;
    let (_folder, store) = open().await;
    let first = Arc::new(runtime());
    change(&store, None, Change::Put(first.clone())).await;
    assert_eq!(store.runtimes().await.unwrap(), [(*first).clone()]);
    let mut second = (*first).clone();
    let mut version = second.versions[&1].clone();
    Arc::make_mut(&mut version).definition.args.push("--fast".into());
    second.versions.insert(2, version);
    second.endpoints.clear();
    let second = Arc::new(second);
    change(&store, Some(&first), Change::Put(second.clone())).await;
    assert_eq!(store.runtimes().await.unwrap(), [(*second).clone()]);
    let mut third = (*second).clone();
    third.versions.remove(&1);
    Arc::make_mut(third.versions.get_mut(&2).unwrap()).definition.args.clear();
    let third = Arc::new(third);
    change(&store, Some(&second), Change::Put(third.clone())).await;
    assert_eq!(store.runtimes().await.unwrap(), [(*third).clone()]);
    change(&store, None, Change::Delete(third.id.clone())).await;
    assert!(store.runtimes().await.unwrap().is_empty());
}

#[tokio::test]
async fn one_version_more_writes_no_other_again() {
    use crate::registry::Change;
    let (folder, store) = open().await;
    let mut many = runtime();
    let version = many.versions[&1].clone();
    many.versions.extend((2..500).map(|number| (number, version.clone())));
    let before = Arc::new(many);
    change(&store, None, Change::Put(before.clone())).await;
    // What nothing but a write of it would bring back.
    let spoilt = Connection::open(folder.path().join("db")).unwrap();
    spoilt.execute("UPDATE runtime_versions SET created_at = 7 WHERE version < 500", []).unwrap();
    let mut after = (*before).clone();
    after.versions.insert(500, Arc::new(Version { created_at: at(9), ..(*version).clone() }));
    change(&store, Some(&before), Change::Put(Arc::new(after))).await;
    let [runtime] = &*store.runtimes().await.unwrap() else { panic!("not one") };
    let written: Vec<_> =
        runtime.versions.iter().filter(|(_, version)| version.created_at != at(7)).collect();
    assert_eq!(written.iter().map(|(number, _)| **number).collect::<Vec<_>>(), [500]);
}

#[tokio::test]
async fn agents_of_the_first_version_become_runtimes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("db");
    let old = Connection::open(&file).unwrap();
    old.execute_batch(include_str!("migrations/1_sessions.sql")).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let definition = AgentDefinition::new("writer", "/bin/a", "/srv");
    let json = serde_json::to_string(&definition).unwrap();
    old.execute("INSERT INTO agents VALUES ('writer', ?1, 7)", [json]).unwrap();
    drop(old);
    let [runtime] = &*Store::open(&file).await.unwrap().runtimes().await.unwrap() else { panic!("not one") };
    assert_eq!((runtime.name.as_str(), runtime.created_at, runtime.last_version), ("writer", at(7), 1));
    assert_eq!(runtime.versions[&1].definition, definition);
    assert_eq!(runtime.endpoints["DEFAULT"].version, 1);
    assert_eq!((runtime.id.len(), &runtime.id[..7]), (17, "writer-"));
}

#[tokio::test]
async fn an_answer_is_kept_with_its_change_for_a_day() {
    use crate::registry::{Answered, Change, Token};
    let (_folder, store) = open().await;
    let answer = async |token: &str, millis| {
        let token = Token { scope: "local create".into(), token: token.into(), request: "{}".into() };
        let answered = Some(Answered { token, answer: "1".into(), at: at(millis) });
        store.write(Write::Catalogue { before: None, change: Change::Nothing, answered }).await.unwrap();
    };
    let known = async |token: &str| {
        store.answered("local create".into(), token.into()).await.unwrap().map(|known| known.answer)
    };
    answer("a", 1).await;
    assert_eq!(known("a").await.as_deref(), Some("1"));
    answer("b", 24 * 3_600_000 + 2).await;
    assert_eq!((known("a").await, known("b").await.as_deref()), (None, Some("1")));
}

#[tokio::test]
async fn the_oldest_go_first_and_take_their_timelines_with_them() {
    let (_folder, store) = open().await;
    for number in 1..=4u64 {
        let new = begin(number.into(), number);
        let incarnation = new.id;
        store.write(Write::Begin(new)).await.unwrap();
        let change = (number < 4).then(|| stopped(100 + number));
        let entries = vec![entry("a"), entry("b"), entry("c")];
        store.write(Write::Happened { incarnation, entries, change }).await.unwrap();
    }
    store
        .write(Write::Prune(Retention {
            stopped_per_agent: 2,
            events_per_incarnation: 2,
            ..Retention::default()
        }))
        .await
        .unwrap();
    let left = store.incarnations(SessionFilter { limit: 9, ..SessionFilter::default() }).await.unwrap();
    let starts: Vec<_> = left.iter().map(|record| record.begun.started_at.unix_millis()).collect();
    assert_eq!(starts, [4, 3, 2], "the living one stays");
    let events = store.timeline(left[1].begun.id).await.unwrap();
    assert_eq!(events, [entry("b"), entry("c")]);
    assert_eq!(store.folders().await.unwrap().len(), 3);
}

#[tokio::test]
async fn the_default_session_stays_the_same() {
    let (_folder, store) = open().await;
    let default = || store.default_session(Principal::local(), "writer".into());
    assert_eq!(default().await.unwrap(), None);
    for number in [1, 2] {
        let session = SessionId::from(Uuid::from_u128(number));
        let (principal, agent) = (Principal::local(), "writer".to_owned());
        store.write(Write::DefaultSession { principal, agent, session }).await.unwrap();
    }
    assert_eq!(default().await.unwrap(), Some(SessionId::from(Uuid::from_u128(1))));
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_alone() {
    let (folder, store) = open().await;
    drop(store);
    let file = folder.path().join("db");
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&file).await.err().unwrap();
    assert!(
        error.to_string().starts_with("the store has version 99, and this host knows versions up to 6"),
        "{error}"
    );
}

#[tokio::test]
async fn what_was_deleted_is_in_no_file_of_the_store() {
    const SECRET: &str = "what nobody is to read again";
    let (folder, store) = open().await;
    let holds_it = || {
        std::fs::read_dir(folder.path()).unwrap().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
        })
    };
    let id = InvocationId::try_from(Uuid::from_u128((7 << 76) | (8 << 60))).unwrap();
    let session = begin(1, 2);
    let new = NewInvocation {
        id,
        key: session.key,
        incarnation: session.id,
        accepted_at: at(1),
        started: false,
        idempotency: None,
        request: Request { headers: HeaderMap::new(), payload: Payload::Held(SECRET.repeat(1_000).into()) },
    };
    store.write(Write::Accept(Box::new(new))).await.unwrap();
    assert!(holds_it());
    store.write(Write::Forget(vec![id])).await.unwrap();
    store.leave_no_trace();
    let mut writes = 0;
    while holds_it() {
        writes += 1;
        assert!(writes < 1_000, "it stays");
        store.flush().await.unwrap();
    }
}
