//! Everything before the loop: from a bare process to a started agent, in named steps.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::rc::Rc;

use agentcore_protocol::agent::DEFAULT_PORT;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, setsid};

use super::KILL_SIGNAL;
use super::addresses::Addresses;
use super::agent;
use super::clock::monotonic;
use super::control::{Control, Surroundings};
use super::disk::DiskWatch;
use super::door::Door;
use super::output::Output;
use super::place::Place;
use super::port::ClaimedPort;
use super::reactor::{Reactor, SIGNALS};
use super::shield::Shield;
use super::spawn::{self, Program, SpawnError};
use super::supervisor::Supervisor;
use crate::ResourceLimits;
use crate::cgroup::{CgroupRoots, Leaf};
use crate::folder::{IncarnationFolder, InitRecord, write_record};
use crate::log::{RotatedLog, open_for_appending};
use crate::parcel::Parcel;
use crate::proc::Proc;
use crate::removal::remove_file_if_there;
use crate::walls::enclosure::Design;
use crate::walls::{Enclosure, Seal};
use crate::wire::{InStep, Order, Reply, Step, StepError};

/// Our own processes among those that a session's bound is on: init, the inner one, and whoever puts up
/// the walls around a program or reaches into its network. The agent's are bounded exactly, by its user.
const OURS_BEHIND_WALLS: u64 = 8;

/// The agent could not be started, and the host has been told why.
pub(super) struct Failed;

/// An init that has no agent yet.
struct Ready {
    signals: SignalFd,
    roots: CgroupRoots,
    cgroups: Leaf,
    shield: Option<Shield>,
}

/// Gets ready, waits for what the host orders, and starts it; `None` if no order comes.
pub(super) fn begin() -> Result<Option<Supervisor>, Failed> {
    let Ok(mut host) = take_descriptors() else { return Err(Failed) };
    let (reply, result) = match start(&host) {
        Ok(None) => return Ok(None),
        Ok(Some((supervisor, record))) => (Reply::Started(record), Ok(Some(supervisor))),
        Err(error) => (failure(error), Err(Failed)),
    };
    if let Ok(reply) = serde_json::to_vec(&reply) {
        // A host that died meanwhile finds the agent by its folder.
        let _ = host.write_all(&reply);
    }
    result
}

// The socket must not reach the agent, or the host would wait for the end of that too.
fn take_descriptors() -> io::Result<UnixStream> {
    spawn::close_the_rest()?;
    let host: UnixStream = io::stdin().as_fd().try_clone_to_owned()?.into();
    host.local_addr()?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(host)
}

fn start(host: &UnixStream) -> Result<Option<(Supervisor, InitRecord)>, SpawnError> {
    let mut said = Parcel::default();
    let Some(ready) = get_ready(host, &mut said).map_err(SpawnError::Setup)? else { return Ok(None) };
    match wait_for_order(host, said) {
        Ok(Some((order, lock))) => carry_out(ready, order, lock).map(Some),
        none => {
            ready.cgroups.leave();
            none.map(|_| None).map_err(SpawnError::Setup)
        }
    }
}

// All that takes time and is the same for every agent.
fn get_ready(host: &UnixStream, said: &mut Parcel) -> Result<Option<Ready>, StepError> {
    let signals = become_init().in_step(Step::BecomeInit)?;
    let Some(roots) = said.line(host).in_step(Step::ReadOrder)? else { return Ok(None) };
    let roots = serde_json::from_slice(&roots).in_step(Step::ReadOrder)?;
    let cgroups = Leaf::reserve(&roots);
    // Where it is not allowed, init may be taken for what uses the memory, and its agent ends with it.
    let shield = if cgroups.shares_memory() { Shield::take_up().ok() } else { None };
    Ok(Some(Ready { signals, roots, cgroups, shield }))
}

// The lock comes with it. Half an order, of a host that died over it, is not carried out.
fn wait_for_order(host: &UnixStream, mut said: Parcel) -> Result<Option<(Order, OwnedFd)>, StepError> {
    said.rest(host).in_step(Step::ReadOrder)?;
    if said.bytes.is_empty() {
        return Ok(None);
    }
    let order = serde_json::from_slice(&said.bytes).in_step(Step::ReadOrder)?;
    let lock = said.descriptors.pop().ok_or(io::ErrorKind::InvalidInput).in_step(Step::ReadOrder)?;
    Ok(Some((order, spawn::out_of_the_way(lock).in_step(Step::ReadOrder)?)))
}

fn carry_out(mut ready: Ready, order: Order, lock: OwnedFd) -> Result<(Supervisor, InitRecord), SpawnError> {
    let prepared = prepare(&mut ready, order, lock).map_err(SpawnError::Setup);
    let launched = prepared.and_then(|mut start| match start.launch(&ready) {
        Ok((output, pid)) => Ok((start, output, pid)),
        Err(error) => {
            start.undo();
            Err(error)
        }
    });
    match launched {
        Ok((start, output, pid)) => start.into_supervisor(ready, output, pid).map_err(SpawnError::Setup),
        Err(error) => {
            ready.cgroups.leave();
            Err(error)
        }
    }
}

fn failure(error: SpawnError) -> Reply {
    match error {
        SpawnError::Program(source) => {
            Reply::ProgramFailed { errno: source.raw_os_error().unwrap_or_default() }
        }
        SpawnError::Setup(error) => Reply::SetupFailed(error.into()),
    }
}

/// All that is made before the agent's program runs.
struct Start {
    folder: IncarnationFolder,
    order: Order,
    limits: ResourceLimits,
    lock: OwnedFd,
    log: RotatedLog,
    socket: UnixListener,
    control: UnixListener,
    port: ClaimedPort,
    enclosure: Option<Rc<Enclosure>>,
    seal: Seal,
    env: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

fn prepare(ready: &mut Ready, mut order: Order, lock: OwnedFd) -> Result<Start, StepError> {
    let folder = IncarnationFolder::new(&order.folder);
    // Where it is found by whoever looks for it, and what this process says is the sandbox's to tell.
    chdir(folder.path()).in_step(Step::MakeFolders)?;
    let said = open_for_appending(&folder).in_step(Step::OpenLog)?;
    dup2_stderr(said).in_step(Step::OpenLog)?;
    let limits = ResourceLimits::from(order.limits);
    agent::make_folders(&folder).in_step(Step::MakeFolders)?;
    agent::write_launcher(&folder, &order.args).in_step(Step::MakeFolders)?;
    agent::link_code(order.code.as_ref(), &folder.work()).in_step(Step::LinkCode)?;
    let log = RotatedLog::open(&folder, limits.log_bytes).in_step(Step::OpenLog)?;
    let socket = bind(folder.socket()).in_step(Step::BindSocket)?;
    let control = bind(folder.control()).in_step(Step::BindSocket)?;
    let port = ClaimedPort::any().in_step(Step::ClaimPort)?;
    let seal = Seal::of(&order, &folder, port.number()).in_step(Step::FilterSystemCalls)?;
    let enclosure = enclose(&order, &folder)?;
    let ours = if enclosure.is_some() { OURS_BEHIND_WALLS } else { 1 };
    let bound = ready.cgroups.bound(&ready.roots, &group_name(&folder), &limits, ours);
    bound.in_step(Step::MakeCgroup)?;
    let env = agent::environment(&mut order, &folder, port.number());
    Ok(Start { folder, order, limits, lock, log, socket, control, port, enclosure, seal, env })
}

// The walls around whatever will run here.
fn enclose(order: &Order, folder: &IncarnationFolder) -> Result<Option<Rc<Enclosure>>, StepError> {
    let design = Design::of(order, folder).in_step(Step::OpenRoot)?;
    agent::give_folders(folder, design.identity).in_step(Step::MakeFolders)?;
    // What carries its network may be there already.
    let made = design.is_enclosed().then(|| Enclosure::make(design).map(Rc::new)).transpose();
    made.inspect_err(|_| kill_descendants())
}

fn kill_descendants() {
    for pid in Proc::default().descendants(std::process::id().cast_signed()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

impl Start {
    fn undo(&self) {
        if let Some(enclosure) = &self.enclosure {
            enclosure.tear_down();
        }
        kill_descendants();
    }

    fn bound_on_processes(&self) -> Option<u64> {
        self.limits.processes.filter(|_| spawn::processes_are_counted_apart())
    }

    fn launch(&mut self, ready: &Ready) -> Result<(OwnedFd, nix::unistd::Pid), SpawnError> {
        let pipe = || -> io::Result<_> {
            let (read, write) = spawn::output_pipe()?;
            Ok((read, spawn::out_of_the_way(write.try_clone()?)?, write))
        };
        let (read, stdout, stderr) = pipe().in_step(Step::Fork).map_err(SpawnError::Setup)?;
        let program = Program {
            path: std::mem::take(&mut self.order.program).into(),
            args: std::mem::take(&mut self.order.args),
            env: &self.env,
            folder: &self.folder.work(),
            cgroups: &ready.cgroups,
            shield: ready.shield.as_ref(),
            enclosure: self.enclosure.as_deref(),
            seal: &self.seal,
            processes: self.bound_on_processes(),
            disk_bytes: self.limits.disk_bytes,
            listen: Some(self.socket.as_fd()),
            stdout,
            stderr,
        };
        let pid = spawn::spawn(program)?;
        Ok((read, pid))
    }

    fn into_supervisor(
        self,
        ready: Ready,
        output: OwnedFd,
        agent: nix::unistd::Pid,
    ) -> Result<(Supervisor, InitRecord), StepError> {
        let processes = self.bound_on_processes();
        let record = InitRecord {
            boot_id: self.order.boot_id,
            init_pid: std::process::id().cast_signed(),
            inner_pid: self.enclosure.as_ref().map(|enclosure| enclosure.inner().as_raw()),
            agent_pid: agent.as_raw(),
            port: self.port.number(),
            cgroups: ready.cgroups.paths().map(ToOwned::to_owned).collect(),
            network: self.order.network,
            walls: self.order.walls,
        };
        write_record(&self.folder.init_record(), &record).in_step(Step::Record)?;
        let reactor = Reactor::new().in_step(Step::BecomeInit)?;
        let output = Output::new(output, self.log);
        let watched = reactor.add(&ready.signals, SIGNALS, nix::sys::epoll::EpollFlags::EPOLLIN);
        watched.in_step(Step::BecomeInit)?;
        output.watch(&reactor).in_step(Step::BecomeInit)?;
        let ports = [self.port.number(), DEFAULT_PORT];
        let place = Place::of(self.enclosure.as_ref());
        let door = Door::new(self.socket, place, ports, &reactor).in_step(Step::BecomeInit)?;
        let addresses = Addresses::new(self.enclosure.as_ref(), &reactor).in_step(Step::MakeNetwork)?;
        let surroundings = Surroundings {
            env: self.env,
            folder: self.folder.work(),
            cgroups: ready.cgroups.clone(),
            shield: ready.shield,
            enclosure: self.enclosure,
            seal: self.seal,
            processes,
            disk_bytes: self.limits.disk_bytes,
        };
        let control = Control::new(self.control, surroundings, &reactor).in_step(Step::BecomeInit)?;
        let disk = DiskWatch::new(&self.folder, record.inner_pid, self.limits.disk_bytes, monotonic());
        let supervisor = Supervisor {
            folder: self.folder,
            boot_id: record.boot_id.clone(),
            agent,
            cgroups: ready.cgroups,
            reactor,
            signals: ready.signals,
            output,
            door,
            control,
            disk,
            addresses,
            ended: None,
            nothing_left: false,
            next_kill: None,
            _lock: self.lock,
            _port: self.port,
        };
        Ok((supervisor, record))
    }
}

fn become_init() -> io::Result<SignalFd> {
    // The whole sandbox is one session, away from the host's terminal. One, because each costs some
    // milliseconds where the scheduler groups by session (CONFIG_SCHED_AUTOGROUP).
    setsid()?;
    set_child_subreaper(true)?;
    let mut watched = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, KILL_SIGNAL] {
        watched.add(signal);
    }
    let mut blocked = watched;
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP] {
        blocked.add(signal);
    }
    // Only the host ends a sandbox, and only by the signals above.
    blocked.thread_block()?;
    Ok(SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

fn bind(path: PathBuf) -> io::Result<UnixListener> {
    remove_file_if_there(&path)?;
    let socket: OwnedFd = UnixListener::bind(path)?.into();
    Ok(spawn::out_of_the_way(socket)?.into())
}

fn group_name(folder: &IncarnationFolder) -> String {
    let name = folder.path().file_name().map(ToOwned::to_owned).unwrap_or_default();
    format!("agentcore-{}", String::from_utf8_lossy(&name.into_vec()))
}
