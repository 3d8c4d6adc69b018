//! What an earlier host left is taken up again, and what is past its time is forgotten.

use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::Timestamp;
use tokio::time::sleep;

use super::run::run;
use crate::api::call::Call;
use crate::api::{Api, ApiError};
use crate::invocations::{Answer, End, Live, NewInvocation, State};
use crate::options::Retention;
use crate::session::NotAdmitted;
use crate::store::{Kept, StoreError, Write};

/// Why what ran when a host died did not come to its end.
const LOST: &str = "the host ended while it ran";
/// Until a session that was refused for a limit is asked for again.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two looks at what is past its time.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many are forgotten in one write, so that others get their turn.
const TOGETHER: u32 = 500;

/// Says of everything that an earlier host left what became of it, and begins what no agent has.
/// Nothing is served before this returns.
pub(crate) async fn recover(api: &Arc<Api>) -> Result<(), StoreError> {
    let at = api.clock.timestamp();
    for (id, head) in api.store.answering_invocations().await? {
        let length = api.invocations.files.length(id).await;
        let answer = Answer { head: Arc::new(head), bytes: length, complete: false, body: None };
        let end = End { state: State::Interrupted, at, reason: Some(LOST.into()), answer: Some(answer) };
        api.store.write(Write::End { id, end: Box::new(end) }).await?;
    }
    api.store.write(Write::InterruptAll { at, reason: LOST }).await?;
    let accepted = api.store.accepted_invocations().await?;
    if !accepted.is_empty() {
        tracing::info!(invocations = accepted.len(), "going on with what was accepted");
        let known = accepted.iter().map(|new| api.invocations.resume(new)).collect();
        api.invocations.running.spawn(begin(api.clone(), accepted, known));
    }
    Ok(())
}

/// Begins them one after the other, as the limits allow.
async fn begin(api: Arc<Api>, accepted: Vec<NewInvocation>, known: Vec<Arc<Live>>) {
    for (new, live) in accepted.into_iter().zip(known) {
        match admitted(&api, &new, &live).await {
            Ok(Some(call)) => {
                api.invocations.running.spawn(run(api.clone(), live, call, new.request));
            }
            Ok(None) => {}
            Err(end) => api.invocations.end(&live, end).await,
        }
    }
}

/// `None`: the host is going down, and the next one has it.
async fn admitted(api: &Api, new: &NewInvocation, live: &Live) -> Result<Option<Call>, End> {
    let ended =
        |state, reason: String| End { state, at: api.clock.timestamp(), reason: Some(reason), answer: None };
    loop {
        if api.invocations.draining.is_cancelled() {
            return Ok(None);
        }
        if live.cancelled.is_cancelled() {
            return Err(ended(State::Cancelled, "somebody asked for its end".into()));
        }
        // Which headers it is told is on record with it.
        match Call::begin_as(api, &new.key, None, new.id) {
            Ok(call) => return Ok(Some(call)),
            Err(ApiError::NotAdmitted(NotAdmitted::ShuttingDown)) => return Ok(None),
            Err(ApiError::NotAdmitted(why @ NotAdmitted::UnknownAgent(_))) => {
                return Err(ended(State::Failed, why.to_string()));
            }
            Err(_) => sleep(AGAIN).await,
        }
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
            let (most, age) = retention.of_invocations(own);
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            Kept { most, ended_after: Timestamp::from_unix_millis(now.saturating_sub(age)) }
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
