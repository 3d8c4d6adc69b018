//! Agent runtimes as AWS's control plane knows them: immutable versions, named endpoints, tags.
//!
//! The host serves one [`Agent`](crate::session::Agent) per endpoint: `writer` is the endpoint
//! `DEFAULT` of the runtime `writer`, which follows its newest version, and `writer@staging` its
//! endpoint `staging`. A session belongs to one endpoint, and keeps the version it began with.
//!
//! What is registered is kept in memory and written to the store before anybody sees it. Changes
//! are decided by pure functions on the [`Catalogue`], one at a time.

mod arn;
mod artifact;
mod catalogue;
mod departures;
mod error;
mod local;
mod record;
mod session_settings;
mod settings;
mod upload;
mod uploads;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use agentcore_protocol::{SessionId, Timestamp};
use serde_json::Value;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::carried_on::carried_on;
use crate::key::Principal;
use crate::session::{Agent, Manager};
use crate::store::{Store, StoreError, Write};
use crate::time::HostClock;

pub use arn::AwsIdentity;
pub(crate) use artifact::{BUCKET as LOCAL_BUCKET, CodeRoot, define};
pub(crate) use catalogue::{Catalogue, Change, NewRuntime};
pub(crate) use departures::Departures;
pub(crate) use error::RegistryError;
pub(crate) use record::{DEFAULT_ENDPOINT, Endpoint, Runtime, Version};
pub(crate) use session_settings::Allowance;
pub use session_settings::SessionSettings;
pub(crate) use settings::Settings;
pub(crate) use upload::{UploadError, prefix as upload_prefix, unpack};
pub(crate) use uploads::Uploads;

/// A request that must not be carried out twice, however often it comes.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// Whose it is, and for which operation.
    pub(crate) scope: String,
    pub(crate) token: String,
    /// The request, to tell apart what comes with the same token.
    pub(crate) request: String,
}

/// A token with the answer that its request got.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) token: Token,
    pub(crate) answer: String,
    pub(crate) at: Timestamp,
}

/// The runtimes of a host.
pub(crate) struct Registry {
    store: Store,
    manager: Arc<Manager>,
    clock: HostClock,
    uploads: Arc<Uploads>,
    departures: Arc<Departures>,
    catalogue: RwLock<Catalogue>,
    /// Held by whoever changes something, from the decision until it is on disk.
    changing: Arc<Mutex<()>>,
}

impl Registry {
    /// Takes up what the store remembers, and has the manager serve it.
    pub(crate) async fn open(
        store: Store,
        manager: Arc<Manager>,
        clock: HostClock,
        identity: AwsIdentity,
        (uploads, departures): (Uploads, Arc<Departures>),
    ) -> Result<Arc<Self>, StoreError> {
        let catalogue = Catalogue::new(identity, store.runtimes().await?);
        let runtimes: Vec<_> = catalogue.runtimes().cloned().collect();
        let (catalogue, changing) = (RwLock::new(catalogue), Arc::default());
        let uploads = Arc::new(uploads);
        let registry = Self { store, manager, clock, uploads, departures, catalogue, changing };
        for runtime in runtimes {
            registry.serve(&runtime).await?;
        }
        Ok(Arc::new(registry))
    }

    /// Goes on with the end of agents that were deleted, of whom an earlier host has left something.
    pub(crate) async fn resume_departures(&self) -> Result<(), StoreError> {
        let served = self.catalogue().runtimes().flat_map(|runtime| served(Some(runtime))).collect();
        self.departures.resume(&served).await
    }

    /// What is registered now.
    pub(crate) fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        // A panic cannot leave it half changed.
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name under which the manager serves an endpoint: `runtime` is an ARN, an id or a name.
    pub(crate) fn find(&self, runtime: &str, qualifier: Option<&str>) -> Result<Arc<str>, RegistryError> {
        self.catalogue().endpoint(runtime, qualifier).map(|(runtime, endpoint)| runtime.served_as(endpoint))
    }

    /// Where artifacts may come from.
    pub(crate) fn code_root(&self) -> CodeRoot {
        self.uploads.root().clone()
    }

    /// What was uploaded there.
    pub(crate) fn uploads(&self) -> Arc<Uploads> {
        self.uploads.clone()
    }

    /// Whether the request of a token was carried out before.
    pub(crate) async fn is_repeated(&self, token: Option<&Token>) -> Result<bool, RegistryError> {
        let Some(token) = token else { return Ok(false) };
        match self.store.answered(token.scope.clone(), token.token.clone()).await? {
            Some(known) if known.token.request != token.request => Err(RegistryError::TokenMismatch),
            known => Ok(known.is_some()),
        }
    }

    /// Changes something. `decide` says what, and what to answer; with a token that is known,
    /// nothing is changed and the answer is the earlier one. What was decided is done even if whoever
    /// asked for it leaves: what is on disk and what is in memory are the same.
    pub(crate) async fn change(
        self: &Arc<Self>,
        token: Option<Token>,
        decide: impl FnOnce(&Catalogue, Timestamp) -> Result<(Change, Value), RegistryError>,
    ) -> Result<Value, RegistryError> {
        let one_at_a_time = self.changing.clone().lock_owned().await;
        if let Some(token) = &token
            && let Some(known) = self.store.answered(token.scope.clone(), token.token.clone()).await?
        {
            if known.token.request != token.request {
                return Err(RegistryError::TokenMismatch);
            }
            return serde_json::from_str(&known.answer)
                .map_err(|error| StoreError::Malformed(error.to_string()).into());
        }
        let at = self.clock.timestamp();
        let (change, answer) = decide(&self.catalogue(), at)?;
        self.await_names_of(&change).await?;
        let answered = token.map(|token| Answered { token, answer: answer.to_string(), at });
        let registry = self.clone();
        let done = async move {
            let _one_at_a_time = one_at_a_time;
            registry.carry_out(change, answered).await
        };
        carried_on(done, |_| async {}).await?;
        Ok(answer)
    }

    async fn carry_out(&self, change: Change, answered: Option<Answered>) -> Result<(), StoreError> {
        let before = match &change {
            Change::Put(runtime) => self.catalogue().runtime(&runtime.id).ok().cloned(),
            Change::Delete(_) | Change::Nothing => None,
        };
        self.store.write(Write::Catalogue { before, change: change.clone(), answered }).await?;
        self.apply(change).await
    }

    /// Makes what is on disk true in memory, and for the sessions.
    async fn apply(&self, change: Change) -> Result<(), StoreError> {
        let before = self.catalogue.write().unwrap_or_else(PoisonError::into_inner).apply(change.clone());
        let after = match &change {
            Change::Put(runtime) => Some(runtime),
            Change::Delete(_) | Change::Nothing => None,
        };
        if let Some(after) = after {
            self.serve(after).await?;
        }
        for name in more(before.as_deref(), after.map(|after| &**after)) {
            self.leave(name).await;
        }
        if let (Some(deleted), None) = (&before, after) {
            self.uploads.release(deleted);
        }
        Ok(())
    }

    async fn serve(&self, runtime: &Runtime) -> Result<(), StoreError> {
        for (endpoint, Endpoint { version, .. }) in &runtime.endpoints {
            let Some(version) = runtime.versions.get(version) else { continue };
            let name = runtime.served_as(endpoint);
            let mut definition = version.definition.clone();
            if version.settings.agent_runtime_artifact.is_some() {
                self.manager.allowance().confine(&mut definition);
            }
            let default_session = self.default_session(&name).await?;
            self.manager.add_agent(Agent { name, definition, default_session });
        }
        Ok(())
    }

    /// Returns once what a change has served under a new name can be: no earlier one of that name is left.
    async fn await_names_of(&self, change: &Change) -> Result<(), RegistryError> {
        let Change::Put(runtime) = change else { return Ok(()) };
        let before = self.catalogue().runtime(&runtime.id).ok().cloned();
        for name in more(Some(runtime), before.as_deref()) {
            self.departures.settled(&name).await?;
        }
        Ok(())
    }

    /// Serves it no more. Returns once the end of its sessions is decided.
    async fn leave(&self, name: Arc<str>) {
        self.manager.remove_agent(&name);
        self.departures.begin(name).await;
    }

    /// The session of those who name none. It stays the same from host to host.
    async fn default_session(&self, agent: &str) -> Result<SessionId, StoreError> {
        let (principal, agent) = (Principal::local(), agent.to_owned());
        if let Some(session) = self.store.default_session(principal.clone(), agent.clone()).await? {
            return Ok(session);
        }
        let session = SessionId::from(Uuid::new_v4());
        self.store.write(Write::DefaultSession { principal, agent, session: session.clone() }).await?;
        Ok(session)
    }
}

/// The names under which a runtime is served.
fn served(runtime: Option<&Runtime>) -> HashSet<Arc<str>> {
    let Some(runtime) = runtime else { return HashSet::new() };
    runtime.endpoints.keys().map(|name| runtime.served_as(name)).collect()
}

/// The names under which one is served and the other is not.
fn more(one: Option<&Runtime>, other: Option<&Runtime>) -> HashSet<Arc<str>> {
    &served(one) - &served(other)
}
