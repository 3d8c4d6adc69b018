//! What an earlier host left is taken up again, and what is past its time is forgotten.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::Timestamp;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::run::run;
use crate::api::call::Call;
use crate::api::{Api, ApiError};
use crate::invocations::{Answer, End, Live, REQUEST, State};
use crate::key::SessionKey;
use crate::options::Retention;
use crate::session::NotAdmitted;
use crate::store::{Kept, StoreError, Write};

/// Why what ran when a host died did not come to its end.
const LOST: &str = "the host ended while it ran";
/// Until a session that was refused for a limit is asked for again, at first and at last.
const AGAIN: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Between two looks at what is past its time.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many are read, or forgotten in one write, together, so that others get their turn.
const TOGETHER: u32 = 500;

/// Why a host cannot go on with what an earlier one left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("an answer that was coming in cannot be kept: {0}")]
    Answer(#[from] io::Error),
}

/// Says of everything that an earlier host left what became of it, and begins what no agent has.
/// Nothing is served before this returns.
pub(crate) async fn recover(api: &Arc<Api>) -> Result<(), RecoverError> {
    let at = api.clock.timestamp();
    for (id, head) in api.store.answering_invocations().await? {
        // A host that was killed has written more than it has synced, and the items of all of it get
        // their numbers now.
        let length = api.invocations.files.settle(id).await?;
        let answer = Answer { head: Arc::new(head), bytes: length, complete: false, body: None };
        let end = End { state: State::Interrupted, at, reason: Some(LOST.into()), answer: Some(answer) };
        api.store.write(Write::End { id, end: Box::new(end) }).await?;
    }
    api.store.write(Write::InterruptAll { at, reason: LOST }).await?;
    if api.store.has_sdk_keys().await? {
        api.invocations.expect_sdk_keys();
    }
    Ok(take_up(api).await?)
}

/// Begins what was accepted, each as the limits of its session allow. Their payloads stay on disk
/// until then.
async fn take_up(api: &Arc<Api>) -> Result<(), StoreError> {
    let mut turns = HashMap::<SessionKey, Arc<Mutex<()>>>::new();
    let (mut count, mut after) = (0, None);
    loop {
        let accepted = api.store.accepted_invocations(after, TOGETHER).await?;
        let Some(last) = accepted.last() else { break };
        after = Some(last.id);
        count += accepted.len();
        for record in accepted {
            let live = api.invocations.resume(&record);
            let turn = turns.entry(record.key).or_default().clone();
            api.invocations.running.spawn(begin(api.clone(), live, turn));
        }
    }
    if count > 0 {
        tracing::info!(invocations = count, "going on with what was accepted");
    }
    Ok(())
}

/// Runs one of them once it is let into its session.
async fn begin(api: Arc<Api>, live: Arc<Live>, turn: Arc<Mutex<()>>) {
    let ended =
        |state, reason: String| End { state, at: api.clock.timestamp(), reason: Some(reason), answer: None };
    let begun = tokio::select! {
        biased;
        // The next host has it.
        () = api.invocations.draining.cancelled() => return,
        () = live.cancelled.cancelled() => Err(ended(State::Cancelled, "somebody asked for its end".into())),
        admitted = admitted(&api, &live, &turn) => match admitted {
            Ok(call) => api.store.accepted_request(live.id).await.map(|request| (call, request)).map_err(|error| {
                tracing::error!(invocation.id = %live.id, %error, "cannot read the request of an invocation");
                ended(State::Failed, "the host could not read its request".into())
            }),
            Err(NotAdmitted::ShuttingDown) => return,
            Err(why) => Err(ended(State::Failed, why.to_string())),
        },
    };
    match begun {
        Ok((call, request)) => run(api, live, call, request).await,
        Err(end) => {
            api.invocations.end(&live, end).await;
            api.invocations.files.remove(live.id, REQUEST).await;
        }
    }
}

/// Asks until it is admitted, or never will be. Of one session one at a time asks.
async fn admitted(api: &Api, live: &Live, turn: &Mutex<()>) -> Result<Call, NotAdmitted> {
    let _turn = turn.lock().await;
    let mut pause = AGAIN;
    loop {
        // Which headers it is told is on record with it.
        match Call::begin_as(api, &live.key, None, live.id) {
            Ok(call) => return Ok(call),
            Err(ApiError::NotAdmitted(why @ (NotAdmitted::ShuttingDown | NotAdmitted::UnknownAgent(_)))) => {
                return Err(why);
            }
            Err(_) => sleep(pause).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Forgets what is past its time or too much, for ever, after removing the files that belong to
/// nobody.
pub(crate) async fn keep_within_bounds(api: Arc<Api>, retention: Retention) {
    if let Err(error) = sweep(&api).await {
        error.log();
    }
    loop {
        if let Err(error) = expire(&api, retention).await {
            tracing::error!(error = %error, "cannot forget old invocations");
        }
        sleep(INTERVAL).await;
    }
}

async fn expire(api: &Arc<Api>, retention: Retention) -> Result<(), StoreError> {
    let now = api.clock.timestamp().unix_millis();
    loop {
        let host = api.clone();
        let kept = move |agent: &str| {
            let own = host.manager.agent(agent).and_then(|agent| agent.definition.retention);
            let retention = retention.of(own);
            let age = u64::try_from(retention.invocation_age.as_millis()).unwrap_or(u64::MAX);
            let bytes = match retention.answer_bytes_per_agent {
                0 => u64::MAX,
                bytes => bytes,
            };
            let ended_after = Timestamp::from_unix_millis(now.saturating_sub(age));
            Kept { most: retention.invocations_per_agent, ended_after, bytes }
        };
        let expired = api.store.expired_invocations(kept, TOGETHER).await?;
        if expired.is_empty() {
            return Ok(());
        }
        api.invocations.forget(expired).await?;
    }
}

async fn sweep(api: &Api) -> Result<(), ApiError> {
    let portions = api.invocations.files.owners(TOGETHER as usize).await.map_err(ApiError::Files)?;
    for portion in portions {
        let known = api.store.known_invocations(portion.clone()).await?;
        for id in portion {
            // A file is made before its invocation is on record, and no id of this host is older than it.
            let is_older = id.uuid().as_u128() >> 80 < u128::from(api.started_at.unix_millis());
            if is_older && !known.contains(&id) {
                api.invocations.files.remove(id, crate::invocations::EVERY_PART).await;
            }
        }
    }
    Ok(())
}
