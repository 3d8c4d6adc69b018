//! Invocations that are run to their end whoever listens, and whose answers can be read later.
//!
//! What is on record is in the store; what is large is in [`files`]. An invocation that has not
//! ended is [`Live`] besides: its answer can be followed as it comes in.

mod files;
mod items;
mod live;
mod payload;
mod reader;
mod record;
mod recorder;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentcore_protocol::InvocationId;
use dashmap::DashMap;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::key::Principal;
use crate::store::{Store, StoreError, Write};
use crate::threads::HostTasks;

pub(crate) use files::{EVERY_PART, Files, REQUEST, Unclaimed};
pub(crate) use items::{Item, Items, Lines};
pub(crate) use live::{Live, Upto};
pub(crate) use payload::{Received, Unreceived, body};
pub(crate) use reader::Reader;
pub(crate) use record::{
    Answer, End, Filter, Head, Idempotency, NewInvocation, Payload, Record, Request, State,
};
pub(crate) use recorder::{Recorder, keep_synced};

/// How many keys can be looked up at the same time without waiting for each other.
const STRIPES: usize = 1_024;

/// All durable invocations of a host.
pub(crate) struct Invocations {
    pub(crate) files: Files,
    store: Store,
    live: DashMap<InvocationId, Arc<Live>>,
    hasher: RandomState,
    keys: Vec<Mutex<()>>,
    /// Calls of SDKs may be among them.
    has_sdk_keys: AtomicBool,
    /// Nothing more is given to agents.
    pub(crate) draining: CancellationToken,
    /// What still runs is given up.
    pub(crate) stopping: CancellationToken,
    pub(crate) running: HostTasks,
}

/// An invocation that is known.
pub(crate) enum Known {
    Live(Arc<Live>),
    Over(Box<Record>),
}

impl Known {
    /// What is known of it now.
    pub(crate) fn record(&self) -> Record {
        match self {
            Self::Live(live) => live.record(),
            Self::Over(record) => (**record).clone(),
        }
    }

    /// The beginning of the agent's answer, once there is one.
    pub(crate) fn head(&self) -> Option<Arc<Head>> {
        match self {
            Self::Live(live) => live.head_now(),
            Self::Over(record) => record.answer.as_ref().map(|answer| answer.head.clone()),
        }
    }
}

impl Invocations {
    /// Those whose files are in the state folder `state`.
    pub(crate) fn open(state: &Path, store: Store) -> io::Result<Self> {
        Ok(Self {
            files: Files::open(state)?,
            store,
            live: DashMap::new(),
            hasher: RandomState::new(),
            keys: (0..STRIPES).map(|_| Mutex::default()).collect(),
            has_sdk_keys: AtomicBool::new(false),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            running: HostTasks::new(),
        })
    }

    /// Whoever holds it is the only one to look whether this key is known, and to make it known.
    pub(crate) async fn turn(&self, principal: &Principal, agent: &str, key: &str) -> MutexGuard<'_, ()> {
        let hash = self.hasher.hash_one((principal, agent, key));
        self.keys[hash as usize % STRIPES].lock().await
    }

    /// From now on calls of SDKs have to be looked up: the first of them is about to be accepted.
    pub(crate) fn expect_sdk_keys(&self) {
        self.has_sdk_keys.store(true, Ordering::SeqCst);
    }

    /// Whether calls of SDKs may be durable invocations. Most hosts see none, and look none up.
    pub(crate) fn has_sdk_keys(&self) -> bool {
        self.has_sdk_keys.load(Ordering::SeqCst)
    }

    /// The invocation that came with a key.
    pub(crate) async fn of_key(
        &self,
        principal: &Principal,
        agent: &str,
        key: &str,
    ) -> Result<Option<Known>, StoreError> {
        self.known(|| self.store.invocation_of(principal.clone(), agent.to_owned(), key.to_owned())).await
    }

    /// The invocation of that id.
    pub(crate) async fn find(&self, id: InvocationId) -> Result<Option<Known>, StoreError> {
        if let Some(live) = self.live(id) {
            return Ok(Some(Known::Live(live)));
        }
        self.known(|| self.store.invocation(id)).await
    }

    /// What `read` finds on record, or the live one of it.
    async fn known<F>(&self, read: impl Fn() -> F) -> Result<Option<Known>, StoreError>
    where
        F: Future<Output = Result<Option<Record>, StoreError>>,
    {
        let Some(record) = read().await? else { return Ok(None) };
        // What has ended on record may still be live for a moment; the record is the whole of it.
        if record.state.is_over() {
            return Ok(Some(Known::Over(Box::new(record))));
        }
        if let Some(live) = self.live(record.id) {
            return Ok(Some(Known::Live(live)));
        }
        // It has ended since it was read: its end is on record before it leaves the live ones.
        Ok(read().await?.map(|record| Known::Over(Box::new(record))))
    }

    /// The invocation of that id, if it has not ended.
    pub(crate) fn live(&self, id: InvocationId) -> Option<Arc<Live>> {
        self.live.get(&id).map(|live| live.clone())
    }

    /// Whether one of an agent has not ended.
    pub(crate) fn has_live_of(&self, agent: &str) -> bool {
        self.live.iter().any(|live| *live.key.agent == *agent)
    }

    /// Answers for an invocation from now on: it is on disk once this returns.
    pub(crate) async fn accept(&self, new: NewInvocation) -> Result<Arc<Live>, StoreError> {
        let live = Live::new(&new);
        self.live.insert(live.id, live.clone());
        match self.store.write(Write::Accept(Box::new(new))).await {
            Ok(()) => Ok(live),
            Err(error) => {
                self.live.remove(&live.id);
                Err(error)
            }
        }
    }

    /// Goes on with an invocation that is on record.
    pub(crate) fn resume(&self, record: &Record) -> Arc<Live> {
        let live = Live::resume(record);
        self.live.insert(live.id, live.clone());
        live
    }

    /// Puts the end of an invocation on record, and tells everybody.
    pub(crate) async fn end(&self, live: &Live, end: End) {
        let id = live.id;
        self.store.write_until_done(|| Write::End { id, end: Box::new(end.clone()) }).await;
        live.end(end);
        self.live.remove(&id);
    }

    /// Gives nothing more to agents, and waits a while for what they have.
    pub(crate) async fn drain(&self, patience: Duration) {
        self.draining.cancel();
        let _ = timeout(patience, self.running.ended()).await;
    }

    /// Gives up what still runs. Returns once that is on record.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        self.running.ended().await;
    }

    /// Forgets invocations that have ended, and all that is kept of them.
    pub(crate) async fn forget(&self, ids: Vec<InvocationId>) -> Result<(), StoreError> {
        // What is left of the files when the host dies in between belongs to nobody and is swept.
        self.store.write(Write::Forget(ids.clone())).await?;
        for id in ids {
            self.files.remove(id, EVERY_PART).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use agentcore_protocol::{IncarnationId, SessionId, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::key::SessionKey;

    fn record(state: State) -> Record {
        Record {
            id: InvocationId::try_from(Uuid::from_u128((7 << 76) | (8 << 60))).unwrap(),
            key: SessionKey {
                principal: Principal::local(),
                agent: "writer".into(),
                session: SessionId::from(Uuid::from_u128(7)),
            },
            incarnation: IncarnationId::try_from(Uuid::from_u128(1)).unwrap(),
            state,
            accepted_at: Timestamp::from_unix_millis(1),
            started_at: None,
            ended_at: None,
            reason: None,
            request_hash: None,
            answer: None,
        }
    }

    #[tokio::test]
    async fn what_ends_while_it_is_looked_up_is_found_as_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).await.unwrap();
        let invocations = Invocations::open(folder.path(), store).unwrap();
        let states = [State::Running, State::Completed];
        let reads = AtomicUsize::new(0);
        let known = invocations
            .known(|| {
                let state = states[reads.fetch_add(1, Ordering::Relaxed)];
                std::future::ready(Ok(Some(record(state))))
            })
            .await;
        assert_eq!(known.unwrap().unwrap().record().state, State::Completed);
    }
}
