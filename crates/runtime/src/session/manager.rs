//! Finds the session of a request, and begins one where there is none.

mod reconcile;

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use agentcore_protocol::{IncarnationId, LifecycleLimits, SessionId, Timestamp};
use agentcore_sandbox::NetworkMode;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::quality::RandomState;
use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::actor::{Actor, Environment, Outcome};
use super::gate::{Gate, Refused};
use super::handle::{COMMANDS, Command, InFlight, Published, SessionHandle, Shared};
use super::lifecycle::Rules;
use super::reason::StopReason;
use crate::agent::AgentDefinition;
use crate::key::SessionKey;
use crate::link::Links;
use crate::options::{HostLimits, Timeouts};
use crate::rate::TokenBucket;
use crate::registry::Allowance;
use crate::store::Phase;
use crate::threads::HostTasks;

pub(crate) use reconcile::ReconcileError;

/// How much the interval between two pings differs from session to session, so that they do not
/// all come at once.
const PING_JITTER: f64 = 0.1;

/// An agent that is served.
pub(crate) struct Agent {
    /// Its name, as session keys share it.
    pub(crate) name: Arc<str>,
    pub(crate) definition: AgentDefinition,
    /// The session of those who name none.
    pub(crate) default_session: SessionId,
}

impl Agent {
    /// Whether it is asked for by an endpoint's name, and so never meant by saying nothing.
    pub(crate) fn is_named_by_endpoint(&self) -> bool {
        self.name.contains('@')
    }
}

/// A request that was let in.
pub(crate) struct Admission {
    pub(crate) in_flight: InFlight,
    /// Its session began with it.
    pub(crate) new: bool,
}

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdmitted {
    #[error("there is no agent {0:?}")]
    UnknownAgent(String),
    #[error("this host runs {0} sessions, as many as it may: stop one, or raise limits.sessions")]
    TooManySessions(usize),
    #[error("more than {0} sessions began within a second: try again in a second")]
    TooManyNewSessions(u32),
    #[error("session {session} has {limit} requests in flight, as many as it may: wait for one to end")]
    TooManyRequests { session: SessionId, limit: u32 },
    #[error("this host is shutting down: try again once it is back")]
    ShuttingDown,
}

/// All sessions of a host.
pub(crate) struct Manager {
    environment: Arc<Environment>,
    limits: HostLimits,
    timeouts: Timeouts,
    // Looked into for every request, twice: the standard library's hash takes several times as long.
    agents: DashMap<Arc<str>, Arc<Agent>, RandomState>,
    /// The newest incarnation of each session that has not stopped.
    current: DashMap<SessionKey, SessionHandle, RandomState>,
    /// Every incarnation with an actor, those included that are stopping while a newer one runs.
    living: DashMap<IncarnationId, SessionHandle>,
    rate: Mutex<TokenBucket>,
    actors: HostTasks,
    closed: AtomicBool,
    shares_network: AtomicBool,
}

impl Manager {
    pub(crate) fn new(environment: Environment, limits: HostLimits, timeouts: Timeouts) -> Arc<Self> {
        let rate = TokenBucket::full(limits.new_sessions_per_second, environment.clock.now());
        let shares_network = AtomicBool::new(environment.network == NetworkMode::Host);
        Arc::new(Self {
            shares_network,
            environment: Arc::new(environment),
            limits,
            timeouts,
            agents: DashMap::default(),
            current: DashMap::default(),
            living: DashMap::new(),
            rate: Mutex::new(rate),
            actors: HostTasks::new(),
            closed: AtomicBool::new(false),
        })
    }

    /// Serves an agent from now on.
    pub(crate) fn add_agent(&self, agent: Agent) {
        let network = agent.definition.network.unwrap_or(self.environment.network);
        self.note_network(network);
        let shortfall = self.environment.kind.shortfall(network, &agent.definition.limits);
        if !shortfall.limits.is_empty() {
            tracing::warn!(
                agent = %agent.name, limits = shortfall.limits.join(", "),
                "limits of an agent cannot be kept here (`agentcore doctor` explains)"
            );
        }
        self.agents.insert(agent.name.clone(), Arc::new(agent));
    }

    /// What those agents may have that come by the API.
    pub(crate) fn allowance(&self) -> Allowance {
        let host_network = self.environment.network == NetworkMode::Host;
        Allowance { host_network, disk_bytes: self.environment.limits.disk_bytes_per_session }
    }

    /// Whether there is, or was since the host started, an agent that may reach this machine's own network. It is
    /// not taken back: of an agent that is gone or changed, sessions may go on.
    pub(crate) fn shares_network(&self) -> bool {
        self.shares_network.load(Ordering::Acquire)
    }

    fn note_network(&self, mode: NetworkMode) {
        if mode == NetworkMode::Host {
            self.shares_network.store(true, Ordering::Release);
        }
    }

    /// Serves an agent no more. Its sessions are not touched.
    pub(crate) fn remove_agent(&self, name: &str) -> bool {
        self.agents.remove(name).is_some()
    }

    pub(crate) fn agent(&self, name: &str) -> Option<Arc<Agent>> {
        self.agents.get(name).map(|agent| agent.clone())
    }

    /// The agent that is meant by saying nothing, if there is no choice.
    pub(crate) fn only_agent(&self) -> Option<Arc<Agent>> {
        let mut agents = self.agents.iter().filter(|agent| !agent.is_named_by_endpoint());
        let only = agents.next()?.value().clone();
        agents.next().is_none().then_some(only)
    }

    /// Every agent, by name.
    pub(crate) fn agents(&self) -> Vec<Arc<Agent>> {
        let mut agents: Vec<_> = self.agents.iter().map(|agent| agent.clone()).collect();
        agents.sort_by(|a, b| a.name.cmp(&b.name));
        agents
    }

    /// The current incarnation of a session, or the one that is stopping.
    pub(crate) fn find(&self, key: &SessionKey) -> Option<SessionHandle> {
        self.current.get(key).map(|session| session.clone())
    }

    /// Every incarnation that has not stopped.
    pub(crate) fn living(&self) -> Vec<SessionHandle> {
        self.living.iter().map(|session| session.clone()).collect()
    }

    /// The handle to an incarnation that has not stopped.
    pub(crate) fn incarnation(&self, id: IncarnationId) -> Option<SessionHandle> {
        self.living.get(&id).map(|session| session.clone())
    }

    /// Lets a request into its session, which begins with it if need be.
    pub(crate) fn admit(self: &Arc<Self>, key: &SessionKey) -> Result<Admission, NotAdmitted> {
        // The usual case, with no more than a read lock on a part of the map.
        if let Some(session) = self.current.get(key)
            && let Some(admission) = self.enter(&session)?
        {
            return Ok(admission);
        }
        match self.current.entry(key.clone()) {
            Entry::Occupied(mut entry) => match self.enter(entry.get())? {
                Some(admission) => Ok(admission),
                None => {
                    let admission = self.begin(key)?;
                    entry.insert(admission.in_flight.session().clone());
                    Ok(admission)
                }
            },
            Entry::Vacant(entry) => {
                let admission = self.begin(key)?;
                entry.insert(admission.in_flight.session().clone());
                Ok(admission)
            }
        }
    }

    /// `None`: the session is ending.
    fn enter(&self, session: &SessionHandle) -> Result<Option<Admission>, NotAdmitted> {
        let limit = self.limits.requests_per_session;
        match session.enter(limit) {
            Ok(in_flight) => Ok(Some(Admission { in_flight, new: false })),
            Err(Refused::Closed) => Ok(None),
            Err(Refused::Full) => {
                Err(NotAdmitted::TooManyRequests { session: session.key.session.clone(), limit })
            }
        }
    }

    /// Begins an incarnation with its first request counted in.
    fn begin(self: &Arc<Self>, key: &SessionKey) -> Result<Admission, NotAdmitted> {
        if self.closed.load(Ordering::Acquire) {
            return Err(NotAdmitted::ShuttingDown);
        }
        let agent = self.agent(&key.agent).ok_or_else(|| NotAdmitted::UnknownAgent(key.agent.to_string()))?;
        if self.living.len() >= self.limits.sessions {
            return Err(NotAdmitted::TooManySessions(self.limits.sessions));
        }
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if !rate.take(self.environment.clock.now()) {
            return Err(NotAdmitted::TooManyNewSessions(self.limits.new_sessions_per_second));
        }
        drop(rate);
        let begun = Begun {
            key: key.clone(),
            incarnation: new_incarnation_id(),
            limits: agent.definition.lifecycle,
            started_at: self.environment.clock.timestamp(),
        };
        let folder = self.environment.incarnations.join(folder_name(begun.incarnation));
        let rules = self.rules(begun.limits);
        let (session, inbox) =
            self.handle(begun, folder, Some(agent.definition.code.clone()), Phase::Starting);
        // Nobody else knows the session yet, so there is room.
        let in_flight = self.enter(&session)?.ok_or(NotAdmitted::ShuttingDown)?.in_flight;
        let actor = Actor::fresh(session.clone(), inbox, self.environment.clone(), &agent.definition, rules);
        self.spawn(session, async move { actor.run().await });
        Ok(Admission { in_flight, new: true })
    }

    fn handle(
        &self,
        begun: Begun,
        folder: PathBuf,
        code: Option<PathBuf>,
        phase: Phase,
    ) -> (SessionHandle, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let clock = self.environment.clock.clone();
        let published = Published {
            phase,
            ping_status: None,
            status_since: clock.now(),
            idle_since: None,
            idle_deadline: None,
            life_ends: clock.moment_of(begun.started_at) + begun.limits.max_lifetime(),
            ended_at: None,
            reason: None,
        };
        let session = SessionHandle::new(Shared {
            key: begun.key,
            incarnation: begun.incarnation,
            folder,
            code,
            limits: begun.limits,
            started_at: begun.started_at,
            gate: Gate::new(),
            links: Links::default(),
            clock,
            sandbox: OnceLock::new(),
            last_words: OnceLock::new(),
            published: watch::Sender::new(published),
            commands,
        });
        (session, inbox)
    }

    /// Runs an actor, and forgets its incarnation once it has stopped.
    fn spawn(self: &Arc<Self>, session: SessionHandle, life: impl Future<Output = Outcome> + Send + 'static) {
        self.living.insert(session.incarnation, session.clone());
        let manager = self.clone();
        self.actors.spawn(async move {
            if life.await == Outcome::Stopped {
                manager.forget(&session);
            }
        });
    }

    fn forget(&self, session: &SessionHandle) {
        // A newer incarnation may have taken the place long ago.
        self.current.remove_if(&session.key, |_, current| current.incarnation == session.incarnation);
        self.living.remove(&session.incarnation);
    }

    fn rules(&self, limits: LifecycleLimits) -> Rules {
        let jitter = 1.0 + PING_JITTER * (2.0 * fastrand::f64() - 1.0);
        Rules {
            idle_timeout: limits.idle_timeout(),
            max_lifetime: limits.max_lifetime(),
            startup: self.timeouts.startup,
            stop_grace: self.timeouts.stop_grace,
            ping_interval: self.timeouts.ping_interval.mul_f64(jitter),
            unresponsive_idle: self.timeouts.unresponsive_idle,
            unresponsive_busy: self.timeouts.unresponsive_busy,
        }
    }

    /// Stops those sessions; returns once it is decided. How many there were to stop.
    pub(crate) async fn stop_all(&self, sessions: Vec<SessionHandle>, reason: &StopReason) -> usize {
        let stops = sessions.iter().map(|session| session.stop(reason.clone()));
        join_all(stops).await.into_iter().filter(|stopped| *stopped).count()
    }

    /// Begins no session any more, stops all there are and waits until they have. Whether they
    /// have, within the grace period and a little more.
    pub(crate) async fn shut_down(&self, reason: &StopReason) -> bool {
        const LITTLE_MORE: Duration = Duration::from_secs(10);
        self.close();
        self.stop_all(self.living(), reason).await;
        tokio::time::timeout(self.timeouts.stop_grace + LITTLE_MORE, self.actors.ended()).await.is_ok()
    }

    /// Begins no session any more, and leaves those there are to the next host.
    pub(crate) async fn leave_all(&self) {
        self.close();
        join_all(self.living().iter().map(SessionHandle::leave)).await;
        self.actors.ended().await;
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// What an incarnation begins with.
struct Begun {
    key: SessionKey,
    incarnation: IncarnationId,
    limits: LifecycleLimits,
    started_at: Timestamp,
}

fn new_incarnation_id() -> IncarnationId {
    loop {
        // Only the nil UUID is none, and a random one is never nil.
        if let Ok(id) = IncarnationId::try_from(Uuid::new_v4()) {
            return id;
        }
    }
}

/// 16 hex digits: the paths of Unix sockets are short.
fn folder_name(incarnation: IncarnationId) -> String {
    format!("{:016x}", incarnation.uuid().as_u64_pair().1)
}
