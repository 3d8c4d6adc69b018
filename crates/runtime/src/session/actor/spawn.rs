//! How an actor gets its sandbox: a fresh one, one that an earlier host left, or one whose start
//! does not return.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::sync::Arc;

use agentcore_sandbox::{Adopted as Found, ResourceLimits, Sandbox, SandboxSpec, Shortfall, StopSignal};
use tokio::sync::mpsc;

use super::{Actor, Environment, SessionHandle};
use crate::agent::AgentDefinition;
use crate::journal::Follower;
use crate::session::handle::Command;
use crate::session::lifecycle::{Adopted, Event, Lifecycle, Rules, State};
use crate::store::{NewIncarnation, Write};

impl Actor {
    /// The actor of a fresh incarnation. Its intent is on disk before anything is spawned.
    pub(in crate::session) fn fresh(
        session: SessionHandle,
        inbox: mpsc::Receiver<Command>,
        environment: Arc<Environment>,
        definition: &AgentDefinition,
        rules: Rules,
    ) -> Self {
        let life = Lifecycle::new(rules, environment.clock.now());
        let spec = spec(&session, definition, &environment);
        let intent = NewIncarnation {
            id: session.incarnation,
            key: session.key.clone(),
            folder: folder_name(&session),
            limits: session.limits,
            started_at: session.started_at,
        };
        let (store, kind) = (environment.store.clone(), environment.kind.clone());
        // Only limits that somebody asked for: the usual ones hold where they can.
        let (require_walls, asked) = (environment.require_walls, definition.limits);
        let starting = Box::pin(async move {
            store.write(Write::Begin(intent)).await.map_err(|error| error.to_string())?;
            if require_walls {
                whole(kind.shortfall(spec.network, &asked))?;
            }
            kind.start(&spec).await.map_err(|error| error.to_string())
        });
        Self { starting: Some(starting), ..Self::around(session, inbox, environment, life) }
    }

    /// The actor of an incarnation that an earlier host started, and that still runs. Whether it
    /// is idle is for its next ping to say.
    pub(in crate::session) async fn adopted(
        session: SessionHandle,
        inbox: mpsc::Receiver<Command>,
        environment: Arc<Environment>,
        sandbox: Arc<dyn Sandbox>,
        left: Adopted,
        rules: Rules,
    ) -> Self {
        let now = environment.clock.now();
        let born = environment.clock.moment_of(session.started_at);
        let cut_off = cut_off(&left);
        let (life, actions) = Lifecycle::adopt(rules, born, left, now);
        let mut actor = Self::around(session, inbox, environment, life);
        actor.hold(sandbox);
        let mut notes = Vec::new();
        for action in actions {
            // Only a session known to be idle has its gate closed, and an adopted one is not yet.
            actor.carry_out(action, &mut VecDeque::new(), &mut notes);
        }
        actor.note("adopted", format!("a new host has taken over{cut_off}")).await;
        actor.tell(notes).await;
        actor
    }

    fn around(
        session: SessionHandle,
        inbox: mpsc::Receiver<Command>,
        environment: Arc<Environment>,
        life: Lifecycle,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep(std::time::Duration::ZERO));
        Self {
            session,
            environment,
            life,
            inbox,
            starting: None,
            exit: None,
            ping: None,
            ping_status: None,
            timer,
            journal: None,
            is_recorded: false,
        }
    }

    fn hold(&mut self, sandbox: Arc<dyn Sandbox>) {
        let watched = sandbox.clone();
        self.exit = Some(Box::pin(async move { watched.wait().await }));
        let journals = self.environment.journals.clone();
        self.journal = Some(Follower::start(journals, self.session.journal()));
        // There is one sandbox per incarnation, so this is the first, or the one it was adopted with.
        let _ = self.session.sandbox.set(sandbox);
    }

    /// The start has returned.
    pub(super) async fn started(&mut self, outcome: Result<Arc<dyn Sandbox>, String>) {
        let sandbox = match outcome {
            Ok(sandbox) => sandbox,
            Err(problem) => return self.handle(Event::StartFailed(problem)).await,
        };
        self.hold(sandbox);
        // Somebody may have stopped it meanwhile, when there was nothing to signal.
        match self.life.state() {
            State::Stopping { killed: true, .. } => self.signal(StopSignal::Kill),
            State::Stopping { .. } => self.signal(StopSignal::Terminate),
            _ => {
                self.note("started", "its program runs".to_owned()).await;
                self.handle(Event::Spawned).await;
            }
        }
    }

    /// Gives up a start that does not return, and takes hold of whatever it left.
    pub(super) fn reclaim(&mut self) {
        let kind = self.environment.kind.clone();
        let folder = self.session.folder.clone();
        self.starting = Some(Box::pin(async move {
            match kind.adopt(&folder).await {
                Ok(Found::Running(sandbox)) => Ok(sandbox),
                Ok(Found::Exited(_) | Found::Gone) => Err("its program never started".to_owned()),
                Err(error) => Err(format!("nobody knows whether its program started: {error}")),
            }
        }));
    }
}

/// What became of requests to the earlier host, as far as its last record tells: one that was killed
/// took the number with it, and each request on disk would cost more than the request.
fn cut_off(left: &Adopted) -> &'static str {
    match left {
        Adopted::Starting => "; who waited for its start was cut off",
        Adopted::Running { idle_since: None } => {
            "; it was active, so a request in flight to the earlier one was cut off, if there was one"
        }
        Adopted::Running { idle_since: Some(_) } | Adopted::Stopping(_) => "",
    }
}

/// Refuses a sandbox that would go without anything, or does.
pub(in crate::session) fn whole(shortfall: Shortfall) -> Result<(), String> {
    if shortfall.is_empty() {
        return Ok(());
    }
    Err(format!("this host requires every wall and limit (--require-walls), and here there is {shortfall}"))
}

fn folder_name(session: &SessionHandle) -> String {
    session.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn spec(session: &SessionHandle, definition: &AgentDefinition, host: &Environment) -> SandboxSpec {
    let env: BTreeMap<OsString, OsString> =
        definition.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    SandboxSpec {
        folder: session.folder.clone(),
        program: definition.program.clone(),
        args: definition.args.iter().map(OsString::from).collect(),
        code: definition.code.clone(),
        env,
        limits: limits(definition, host),
        network: definition.network.unwrap_or(host.network),
        read_only: definition.read_only.clone(),
        confined: definition.confined,
    }
}

fn limits(definition: &AgentDefinition, host: &Environment) -> ResourceLimits {
    let limits = host.limits.of_session(definition.limits);
    let some = |limit: Option<u64>| limit.filter(|most| *most > 0);
    ResourceLimits {
        memory_bytes: some(limits.memory_bytes),
        processes: some(limits.processes),
        disk_bytes: some(limits.disk_bytes),
        cpus: limits.cpus.filter(|most| *most > 0.0),
        ..limits
    }
}
