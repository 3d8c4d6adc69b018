//! A host from start to end.

mod agents;
mod serve;
mod state_folder;
mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentcore_auth::gate::{Gate, GateOptions};
use agentcore_auth::keys::{KeyError, KeyStore, MASTER_KEY_VARIABLE};
use agentcore_auth::sigv4::Verifier;
use agentcore_protocol::Clock;
use agentcore_sandbox::{NetworkMode, SandboxKind};
use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::agent::InvalidAgent;
use crate::api::{Api, Authorizers, Front, HostToken, Quotas, Replays, front, keep_within_bounds, recover};
use crate::audit::{self, AuditLog};
use crate::invocations::Invocations;
use crate::journal::Journals;
use crate::options::{HostOptions, OnShutdown};
use crate::registry::{CodeRoot, Departures, Registry, Uploads};
use crate::session::reason::{StopKind, StopReason};
use crate::session::{Environment, Manager, ReconcileError};
use crate::store::{Store, StoreError};
use crate::threads::Lanes;
use crate::time::HostClock;
use state_folder::StateFolder;

pub(crate) use state_folder::write_privately;
pub use state_folder::{HOST_RECORD_FILE, HostRecord};
use tls::Tls;
pub use tls::{TlsError, TlsOptions};

/// Name of the store in the state folder.
const STORE_FILE: &str = "agentcore.db";

/// A host that has bound its address and taken hold of its state, and is ready to serve.
pub struct Host {
    listener: TcpListener,
    address: SocketAddr,
    front: Front,
    tls: Option<Tls>,
    lanes: Lanes,
    options: HostOptions,
    state: StateFolder,
    store: Store,
    audit: AuditLog,
    manager: Arc<Manager>,
    reconciling: JoinHandle<()>,
    forgetting: JoinHandle<()>,
    tidying: JoinHandle<()>,
}

/// Why a host does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Nothing at this address checks who calls.
    #[error(
        "the host serves this machine only, and {0} can be reached from others: whoever reaches it can run your \
         agents. Ask who calls (--require-auth, with keys that `agentcore keys create` makes), or listen on a loopback \
         address such as 127.0.0.1:8080"
    )]
    NotLoopback(SocketAddr),
    /// Everybody on the way could read what is said.
    #[error(
        "{0} can be reached from other machines, and what is said there can be read on the way: name a certificate \
         (--tls-cert and --tls-key), or say that a proxy in front of the host has one (--behind-proxy)"
    )]
    NoTls(SocketAddr),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The access keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}. Name another address, or stop what listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// Another host holds the state folder.
    #[error("another host uses the state in {state}{}: stop it, or name another state folder", at(.url.as_deref()))]
    AlreadyRunning {
        /// The state folder.
        state: PathBuf,
        /// Where the other host serves, as far as it is known.
        url: Option<String>,
    },
    /// The state folder cannot be used.
    #[error("cannot {step} {path}: {source}")]
    State {
        /// What was being done, as in "lock".
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The system gives no threads to serve callers on.
    #[error(
        "cannot start the threads that serve callers: {0}. Raise the limit on processes or on open files"
    )]
    Threads(#[source] io::Error),
    /// A definition is refused.
    #[error(transparent)]
    Agent(#[from] InvalidAgent),
    /// An agent cannot be registered.
    #[error("cannot register the agent {agent:?}: {why}")]
    Register {
        /// Its name.
        agent: String,
        /// The reason.
        why: String,
    },
    /// The default agent is none of those that are served.
    #[error("the default agent {0:?} is not served: name one that is, or leave the default out")]
    UnknownDefaultAgent(String),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What an earlier host left cannot be looked at.
    #[error("cannot go on with what an earlier host left: {0}")]
    Recovery(String),
}

impl From<ReconcileError> for HostError {
    fn from(error: ReconcileError) -> Self {
        Self::Recovery(error.to_string())
    }
}

fn at(url: Option<&str>) -> String {
    url.map(|url| format!(" (it serves {url})")).unwrap_or_default()
}

impl Host {
    /// Starts a host: binds the address, takes hold of the state folder, opens the store, and goes
    /// on with the sessions that an earlier host left.
    ///
    /// # Errors
    /// The address is not a loopback one or cannot be bound, another host uses the state folder,
    /// or the state or a definition is unusable.
    pub async fn start(
        options: HostOptions,
        kind: Arc<dyn SandboxKind>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HostError> {
        for agent in &options.agents {
            agent.validate()?;
        }
        let tls = options.tls.as_ref().map(|files| Tls::open(files, clock.clone())).transpose()?;
        let (listener, address) = bind(&options).await?;
        let lanes = Lanes::start().map_err(HostError::Threads)?;
        let state = StateFolder::take(&options.state)?;
        let store = Store::open(&state.path().join(STORE_FILE)).await?;
        let gate = gate(&options, state.path(), clock.clone())?;
        let clock = HostClock::start(clock);
        let audit = open_audit(&options, state.path(), clock.clone())?;
        let journals = Journals::new(store.clone(), clock.clone());
        let network = options.network.unwrap_or_else(|| default_network(&*kind));
        let environment = Environment {
            kind,
            store: store.clone(),
            clock: clock.clone(),
            incarnations: state.incarnations(),
            network,
            require_walls: options.require_walls,
            limits: options.limits,
            journals: journals.clone(),
        };
        let manager = Manager::new(environment, options.limits, options.timeouts);
        let invocations = Invocations::open(state.path(), store.clone()).map_err(|source| {
            HostError::State { step: "keep invocations in", path: state.path().to_owned(), source }
        })?;
        let invocations = Arc::new(invocations);
        let code_root = CodeRoot::new(options.code_root.clone());
        let uploads = Uploads::new(code_root, state.path(), options.retention.upload_age);
        let departures = Departures::new(store.clone(), manager.clone(), invocations.clone());
        let registry = Registry::open(
            store.clone(),
            manager.clone(),
            clock.clone(),
            options.aws.clone(),
            (uploads, departures),
        )
        .await?;
        manager.recover().await?;
        // Before an agent of the same name is registered, who is another one.
        registry.resume_departures().await?;
        agents::register(&options, &registry).await?;
        let default_agent = agents::default_agent(&options, &manager)?;
        let reconciling = tokio::spawn(manager.clone().keep_in_line(options.retention));
        let token = HostToken::make(state.path()).map_err(|source| HostError::State {
            step: "write the token in",
            path: state.path().to_owned(),
            source,
        })?;
        let record = HostRecord::new(address, tls.is_some(), clock.timestamp());
        let api = Api {
            gate,
            token,
            quotas: Quotas::new(options.requests_per_second()),
            audit: audit.clone(),
            authorizers: Authorizers::new(),
            manager: manager.clone(),
            registry,
            store: store.clone(),
            journals,
            clock,
            timeouts: options.timeouts,
            replays: Replays::default(),
            invocations,
            default_agent,
            state: state.path().to_owned(),
            address,
            // Behind a proxy it is the proxy that callers reach, with TLS.
            scheme: if tls.is_some() || options.auth.plain_http { "https" } else { "http" },
            behind_proxy: options.auth.plain_http,
            started_at: record.started_at,
        };
        let front = front(api);
        recover(&front.api).await.map_err(|error| HostError::Recovery(error.to_string()))?;
        let forgetting = tokio::spawn(keep_within_bounds(front.api.clone(), options.retention));
        let api = front.api.clone();
        let tidying = tokio::spawn(async move { api.registry.keep_uploads_tidy().await });
        state.announce(&record)?;
        Ok(Self {
            listener,
            address,
            front,
            tls,
            lanes,
            options,
            state,
            store,
            audit,
            manager,
            reconciling,
            forgetting,
            tidying,
        })
    }

    /// The address that is served; with port 0 in the options, this tells which one it became.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL that it serves, as this machine reaches it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The options it was started with.
    pub fn options(&self) -> &HostOptions {
        &self.options
    }

    /// Everything the host serves, for callers without a socket.
    pub fn router(&self) -> Router {
        self.front.router()
    }

    /// Serves until `shutdown` is ready; then takes no more requests, lets those in flight end
    /// within the drain time, and does with the sessions what the options say.
    ///
    /// # Errors
    /// The store fails at the end. What runs by then goes on, and the next host adopts it.
    pub async fn serve_until(self, shutdown: impl Future<Output = ()>) -> Result<(), HostError> {
        tracing::info!(host.address = %self.address, state = %self.state.path().display(), "host started");
        let renewing = self.tls.clone().map(|tls| tokio::spawn(tls.keep_renewed()));
        let (api, drain) = (self.front.api.clone(), self.options.timeouts.drain);
        let front = (self.front, self.tls);
        let draining = serve::serve(self.listener, &self.lanes, front, shutdown, drain).await;
        renewing.inspect(JoinHandle::abort);
        self.reconciling.abort();
        self.forgetting.abort();
        self.tidying.abort();
        let draining = async {
            tokio::join!(draining, api.invocations.drain(drain));
        };
        match self.options.on_shutdown {
            OnShutdown::Stop => {
                // Together: those who wait for an answer get it, or the end of the session.
                let reason = StopReason::new(StopKind::HostShutdown, "the host shut down");
                let ((), stopped) = tokio::join!(draining, self.manager.shut_down(&reason));
                if !stopped {
                    tracing::error!("some sessions would not stop; the next host looks at them again");
                }
            }
            OnShutdown::Leave => {
                draining.await;
                api.invocations.stop().await;
                self.manager.leave_all().await;
            }
        }
        api.invocations.stop().await;
        self.audit.flush().await;
        self.store.flush().await?;
        self.state.release();
        tracing::info!("host stopped");
        Ok(())
    }
}

/// What agents reach that say nothing of it, where the options do not say it either.
fn default_network(kind: &dyn SandboxKind) -> NetworkMode {
    if kind.has_networks() { NetworkMode::Egress } else { NetworkMode::Host }
}

/// Who may call, as the options and the keys in the state folder say. The master key of the keys may
/// be in the environment.
fn gate(options: &HostOptions, state: &Path, clock: Arc<dyn Clock>) -> Result<Gate, HostError> {
    let keys = KeyStore::open(state, std::env::var(MASTER_KEY_VARIABLE).ok())?;
    let gate = GateOptions { required: options.auth.required, ..GateOptions::default() };
    Ok(Gate::new(gate, Verifier::new(options.aws.region.clone()), keys, clock))
}

fn open_audit(options: &HostOptions, state: &Path, clock: HostClock) -> Result<AuditLog, HostError> {
    let opened = AuditLog::open(state, options.audit, clock);
    opened.map_err(|source| HostError::State { step: "open", path: audit::path(state), source })
}

async fn bind(options: &HostOptions) -> Result<(TcpListener, SocketAddr), HostError> {
    let (listen, auth) = (options.listen, options.auth);
    if !listen.ip().is_loopback() && !auth.required {
        return Err(HostError::NotLoopback(listen));
    }
    if !listen.ip().is_loopback() && options.tls.is_none() && !auth.plain_http {
        return Err(HostError::NoTls(listen));
    }
    let failed = |source| HostError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
