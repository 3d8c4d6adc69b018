//! The actor of one incarnation: owns all that changes about it, feeds the lifecycle with what
//! happens, and does what the lifecycle says.

mod record;
mod spawn;

use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use agentcore_protocol::PingStatus;
use agentcore_sandbox::{BoxFuture, Exit, NetworkMode, Sandbox, SandboxKind, StopSignal};
use tokio::sync::mpsc;
use tokio::time::{Sleep, timeout};

use super::handle::{Command, SessionHandle};
use super::leftovers;
use super::lifecycle::{Action, Event, Lifecycle, Note, PING_TIMEOUT, State};
use super::ping::ping;
use super::reason::describe_exit;
use crate::journal::{Follower, Journals};
use crate::options::HostLimits;
use crate::store::Store;
use crate::time::{HostClock, Moment};

pub(crate) use record::usage;
pub(super) use spawn::whole;

/// What every actor of a host needs.
pub(crate) struct Environment {
    pub(crate) kind: Arc<dyn SandboxKind>,
    pub(crate) store: Store,
    pub(crate) clock: HostClock,
    pub(crate) incarnations: PathBuf,
    /// The network of agents that say nothing of it.
    pub(crate) network: NetworkMode,
    /// Whether no session may go without a wall or a limit.
    pub(crate) require_walls: bool,
    /// What sessions may use of agents that say nothing of it.
    pub(crate) limits: HostLimits,
    pub(crate) journals: Arc<Journals>,
}

/// How an actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its incarnation has stopped, and that is on record.
    Stopped,
    /// It was told to leave the sandbox to the next host.
    Left,
}

type Starting = BoxFuture<'static, Result<Arc<dyn Sandbox>, String>>;
type Pinging = BoxFuture<'static, (Moment, Result<PingStatus, String>)>;

/// What an actor has to do with next.
enum Input {
    Started(Result<Arc<dyn Sandbox>, String>),
    Event(Event),
    Command(Command),
}

pub(super) struct Actor {
    session: SessionHandle,
    environment: Arc<Environment>,
    life: Lifecycle,
    inbox: mpsc::Receiver<Command>,
    starting: Option<Starting>,
    exit: Option<BoxFuture<'static, Exit>>,
    ping: Option<Pinging>,
    ping_status: Option<PingStatus>,
    timer: Pin<Box<Sleep>>,
    /// Follows what the agent writes of its tasks.
    journal: Option<Follower>,
    /// Its end and what came before are in the store.
    is_recorded: bool,
}

impl Actor {
    /// Lives the incarnation to its end.
    pub(super) async fn run(mut self) -> Outcome {
        loop {
            if matches!(self.life.state(), State::Stopped { .. }) {
                leftovers::clear(&self.session.folder, self.is_recorded).await;
                return Outcome::Stopped;
            }
            match self.next().await {
                Input::Event(event) => self.handle(event).await,
                Input::Started(outcome) => self.started(outcome).await,
                Input::Command(Command::Leave) => {
                    self.tell_what_is_cut_off().await;
                    return Outcome::Left;
                }
                Input::Command(Command::Note(event, detail)) => self.note(event, detail).await,
                Input::Command(Command::Stop(reason, reply)) => {
                    let stops = self.session.published().phase.is_current();
                    self.handle(Event::Stop(reason)).await;
                    // Who asked may have left meanwhile.
                    let _ = reply.send(stops);
                }
            }
        }
    }

    async fn next(&mut self) -> Input {
        if let Some(at) = self.life.wake_at() {
            let deadline = self.environment.clock.instant(at);
            if self.timer.deadline() != deadline {
                self.timer.as_mut().reset(deadline);
            }
        }
        let Self { session, inbox, starting, exit, ping, timer, .. } = self;
        tokio::select! {
            biased;
            exit = ready(exit) => Input::Event(Event::Exited(describe_exit(&exit))),
            outcome = ready(starting) => Input::Started(outcome),
            Some(command) = inbox.recv() => Input::Command(command),
            (sent, answer) = ready(ping) => Input::Event(match answer {
                Ok(status) => Event::Pong { sent, status },
                Err(problem) => Event::PingFailed { sent, problem },
            }),
            () = session.gate.woken() => Input::Event(Event::Tick),
            () = timer => Input::Event(Event::Tick),
        }
    }

    /// Has the lifecycle take in `event`, and does what comes of it.
    async fn handle(&mut self, event: Event) {
        if let Event::Pong { status, .. } = event {
            self.ping_status = Some(status);
        }
        self.session.links.close_stale();
        let mut notes = Vec::new();
        let counted = Event::Requests(self.session.gate.requests());
        let mut events = VecDeque::from([counted, event]);
        while let Some(event) = events.pop_front() {
            let (life, actions) = self.life.clone().step(event, self.environment.clock.now());
            self.life = life;
            for action in actions {
                self.carry_out(action, &mut events, &mut notes);
            }
        }
        self.tell(notes).await;
    }

    fn carry_out(&mut self, action: Action, events: &mut VecDeque<Event>, notes: &mut Vec<Note>) {
        match action {
            Action::Ping => self.send_ping(),
            Action::CloseGate(reason) => events.push_front(if self.session.gate.close_if_unused() {
                Event::GateClosed(reason)
            } else {
                Event::Requests(self.session.gate.requests())
            }),
            Action::Terminate => self.signal(StopSignal::Terminate),
            Action::Kill if self.starting.is_some() => self.reclaim(),
            Action::Kill => self.signal(StopSignal::Kill),
            Action::Record(note) => notes.push(note),
        }
    }

    fn send_ping(&mut self) {
        let Some(sandbox) = self.session.sandbox().cloned() else { return };
        let clock = self.environment.clock.clone();
        self.ping = Some(Box::pin(async move {
            let sent = clock.now();
            let answer = match timeout(PING_TIMEOUT, ping(&*sandbox)).await {
                Ok(answer) => answer.and_then(|answer| answer.judge()),
                Err(_) => Err(format!("no answer within {} s", PING_TIMEOUT.as_secs())),
            };
            (sent, answer)
        }));
    }

    fn signal(&mut self, how: StopSignal) {
        self.session.gate.close();
        // An agent that is to leave need not wait for connections that carry nothing.
        self.session.links.close();
        self.ping = None;
        let Some(sandbox) = self.session.sandbox() else { return };
        if let Err(error) = sandbox.stop(how) {
            tracing::warn!(
                session.id = %self.session.key.session,
                incarnation = %self.session.incarnation,
                signal = ?how,
                error = %error,
                "cannot signal the sandbox"
            );
        }
    }
}

/// What is in `future` once it is ready, and never if there is none.
async fn ready<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(running) => {
            let output = running.await;
            *future = None;
            output
        }
        None => std::future::pending().await,
    }
}
