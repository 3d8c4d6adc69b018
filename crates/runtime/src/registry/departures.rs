//! What an agent leaves on record when it is deleted goes with it: its invocations, their answers and
//! its tasks. Until all of it is gone nobody else is served under its name, so that no later agent is
//! asked for what an earlier one did.
//!
//! That an agent was deleted need not be noted: there are records of it, and it is not registered. So
//! what a host did not come to is found by the next one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::RegistryError;
use crate::invocations::Invocations;
use crate::session::reason::{StopKind, StopReason};
use crate::session::{Manager, SessionHandle};
use crate::store::{Store, StoreError, Write};
use crate::watched::Watched;

/// Between two looks at whether something of it still runs.
const LOOK: Duration = Duration::from_millis(100);
/// Until it is tried again when the store refuses.
const AGAIN: Duration = Duration::from_secs(1);
/// How long whoever wants the name waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many invocations are forgotten in one write, so that others get their turn.
const TOGETHER: u32 = 500;

/// The agents that were deleted, and are still on record.
pub(crate) struct Departures {
    store: Store,
    manager: Arc<Manager>,
    invocations: Arc<Invocations>,
    names: Watched<HashSet<Arc<str>>>,
}

impl Departures {
    pub(crate) fn new(store: Store, manager: Arc<Manager>, invocations: Arc<Invocations>) -> Arc<Self> {
        Arc::new(Self { store, manager, invocations, names: Watched::default() })
    }

    /// Has the sessions end of what was served under that name, and then its records go. Returns once
    /// the end of the sessions is decided.
    pub(super) async fn begin(self: &Arc<Self>, name: Arc<str>) {
        self.names.edit(|names| {
            names.insert(name.clone());
        });
        let (departures, departing) = (self.clone(), name.clone());
        self.invocations.running.spawn(async move {
            tokio::select! {
                // The next host goes on with it.
                () = departures.invocations.draining.cancelled() => {}
                () = departures.clear(&departing) => departures.names.edit(|names| {
                    names.remove(&departing);
                }),
            }
        });
        self.stop_sessions(&name).await;
    }

    /// Goes on with those that an earlier host did not come to: all there is of anything but `served`.
    pub(super) async fn resume(self: &Arc<Self>, served: &HashSet<Arc<str>>) -> Result<(), StoreError> {
        let mut names = self.store.agents_on_record().await?;
        names.extend(self.manager.living().iter().map(|session| session.key.agent.to_string()));
        for name in names.into_iter().filter(|name| !served.contains(&**name)) {
            tracing::info!(agent = name, "an agent was deleted: what is on record of it goes");
            self.begin(name.into()).await;
        }
        Ok(())
    }

    /// Returns once nothing is left of what was served under that name before.
    pub(super) async fn settled(&self, name: &str) -> Result<(), RegistryError> {
        let gone = self.names.wait(|names| (!names.contains(name)).then_some(()));
        timeout(PATIENCE, gone).await.map_err(|_| {
            let message =
                format!("the agent {name:?} that was deleted has not come to its end: try again in a moment");
            RegistryError::Conflict(message)
        })
    }

    async fn clear(&self, name: &str) {
        self.until_nothing_runs(name).await;
        while let Err(error) = self.forget(name).await {
            if matches!(error, StoreError::Closed) {
                return;
            }
            tracing::error!(agent = name, %error, "cannot forget a deleted agent; it is tried again");
            sleep(AGAIN).await;
        }
        self.store.leave_no_trace();
    }

    /// What its sessions did is on record once they have ended, as is the end of what they answered.
    async fn until_nothing_runs(&self, name: &str) {
        // One may have been about to begin when the agent was deleted.
        while self.stop_sessions(name).await || self.invocations.has_live_of(name) {
            sleep(LOOK).await;
        }
    }

    /// Whether there are any.
    async fn stop_sessions(&self, name: &str) -> bool {
        let is_its = |session: &SessionHandle| *session.key.agent == *name;
        let sessions: Vec<_> = self.manager.living().into_iter().filter(is_its).collect();
        let are_there = !sessions.is_empty();
        let reason = StopReason::new(StopKind::StopRequested, "its agent was deleted");
        self.manager.stop_all(sessions, &reason).await;
        are_there
    }

    async fn forget(&self, name: &str) -> Result<(), StoreError> {
        loop {
            let some = self.store.some_invocations_of(name.to_owned(), TOGETHER).await?;
            if some.is_empty() {
                break;
            }
            self.invocations.forget(some).await?;
        }
        while self.store.has_tasks_of(name.to_owned()).await? {
            self.store.write(Write::ForgetTasks { agent: name.to_owned() }).await?;
        }
        Ok(())
    }
}
