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
mod error;
mod local;
mod record;
mod session_settings;
mod settings;
mod upload;
mod uploads;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use agentcore_protocol::{SessionId, Timestamp};
use serde_json::Value;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::key::Principal;
use crate::session::reason::{StopKind, StopReason};
use crate::session::{Agent, Manager, SessionHandle};
use crate::store::{Store, StoreError, Write};
use crate::time::HostClock;

pub use arn::AwsIdentity;
pub(crate) use artifact::{BUCKET as LOCAL_BUCKET, CodeRoot, define};
pub(crate) use catalogue::{Catalogue, Change, NewRuntime};
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
    catalogue: RwLock<Catalogue>,
    /// Held by whoever changes something, from the decision until it is on disk.
    changing: Mutex<()>,
}

impl Registry {
    /// Takes up what the store remembers, and has the manager serve it.
    pub(crate) async fn open(
        store: Store,
        manager: Arc<Manager>,
        clock: HostClock,
        identity: AwsIdentity,
        uploads: Uploads,
    ) -> Result<Self, StoreError> {
        let catalogue = Catalogue::new(identity, store.runtimes().await?);
        let runtimes: Vec<_> = catalogue.runtimes().cloned().collect();
        let (catalogue, changing) = (RwLock::new(catalogue), Mutex::default());
        let registry = Self { store, manager, clock, uploads: Arc::new(uploads), catalogue, changing };
        for runtime in runtimes {
            registry.serve(&runtime).await?;
        }
        Ok(registry)
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
    /// nothing is changed and the answer is the earlier one.
    pub(crate) async fn change(
        &self,
        token: Option<Token>,
        decide: impl FnOnce(&Catalogue, Timestamp) -> Result<(Change, Value), RegistryError>,
    ) -> Result<Value, RegistryError> {
        let _one_at_a_time = self.changing.lock().await;
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
        let answered = token.map(|token| Answered { token, answer: answer.to_string(), at });
        self.store.write(Write::Catalogue { change: change.clone(), answered }).await?;
        self.apply(change).await?;
        Ok(answer)
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
        for name in gone(before.as_deref(), after.map(|after| &**after)) {
            self.leave(&name).await;
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

    /// Serves it no more. Returns once the end of its sessions is decided.
    async fn leave(&self, name: &str) {
        self.manager.remove_agent(name);
        let is_its = |session: &SessionHandle| *session.key.agent == *name;
        let sessions = self.manager.living().into_iter().filter(is_its).collect();
        let reason = StopReason::new(StopKind::StopRequested, "its agent was deleted");
        self.manager.stop_all(sessions, &reason).await;
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

/// What was served before a change and is no more.
fn gone(before: Option<&Runtime>, after: Option<&Runtime>) -> Vec<Arc<str>> {
    let Some(before) = before else { return Vec::new() };
    let stays = |name: &String| after.is_some_and(|after| after.endpoints.contains_key(name));
    before.endpoints.keys().filter(|name| !stays(name)).map(|name| before.served_as(name)).collect()
}
