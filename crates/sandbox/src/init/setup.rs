//! Everything before the loop: from a bare process to a started agent, in named steps.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::rc::Rc;

use agentcore_protocol::agent::DEFAULT_PORT;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, dup2_stdin, dup2_stdout, setsid};

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
use super::spawn::{self, Program, SpawnError};
use super::supervisor::Supervisor;
use crate::ResourceLimits;
use crate::cgroup::Leaf;
use crate::folder::{IncarnationFolder, InitRecord, write_record};
use crate::log::RotatedLog;
use crate::proc::Proc;
use crate::walls::enclosure::Design;
use crate::walls::{Enclosure, Seal};
use crate::wire::{InStep, Order, Reply, Step, StepError};

/// The agent could not be started, and the host has been told why.
pub(super) struct Failed;

/// What ties init to the host that starts it, taken off the standard descriptors.
struct Birth {
    lock: OwnedFd,
    host: UnixStream,
}

/// Starts the agent that the host orders.
pub(super) fn begin(folder: PathBuf) -> Result<Supervisor, Failed> {
    let Ok(Birth { lock, mut host }) = take_descriptors() else { return Err(Failed) };
    let folder = IncarnationFolder::new(folder);
    let (reply, result) = match start(&folder, &mut host, lock) {
        Ok((supervisor, record)) => (Reply::Started(record), Ok(supervisor)),
        Err(error) => (failure(error), Err(Failed)),
    };
    if let Ok(reply) = serde_json::to_vec(&reply) {
        // A host that died meanwhile finds the agent by its folder.
        let _ = host.write_all(&reply);
    }
    result
}

fn failure(error: SpawnError) -> Reply {
    match error {
        SpawnError::Program(source) => {
            Reply::ProgramFailed { errno: source.raw_os_error().unwrap_or_default() }
        }
        SpawnError::Setup(error) => Reply::SetupFailed(error.into()),
    }
}

// Nothing of these may reach the agent: the lock would outlive init, and the socket would keep
// the host waiting.
fn take_descriptors() -> io::Result<Birth> {
    spawn::close_the_rest()?;
    let take = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
    let lock = take(io::stdin().as_fd())?;
    let host = take(io::stdout().as_fd())?;
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    Ok(Birth { lock, host: host.into() })
}

fn start(
    folder: &IncarnationFolder,
    host: &mut UnixStream,
    lock: OwnedFd,
) -> Result<(Supervisor, InitRecord), SpawnError> {
    let mut start = prepare(folder, host, lock).map_err(SpawnError::Setup)?;
    match start.launch() {
        Ok((output, pid)) => start.into_supervisor(output, pid).map_err(SpawnError::Setup),
        Err(error) => {
            start.undo();
            Err(error)
        }
    }
}

/// All that is made before the agent's program runs.
struct Start {
    folder: IncarnationFolder,
    order: Order,
    limits: ResourceLimits,
    lock: OwnedFd,
    signals: SignalFd,
    log: RotatedLog,
    socket: UnixListener,
    control: UnixListener,
    port: ClaimedPort,
    cgroups: Leaf,
    enclosure: Option<Rc<Enclosure>>,
    seal: Seal,
    env: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

fn prepare(folder: &IncarnationFolder, host: &mut UnixStream, lock: OwnedFd) -> Result<Start, StepError> {
    let signals = become_init().in_step(Step::BecomeInit)?;
    let mut order = read_order(host).in_step(Step::ReadOrder)?;
    let limits = ResourceLimits::from(order.limits);
    agent::make_folders(folder).in_step(Step::MakeFolders)?;
    agent::write_launcher(folder, &order.args).in_step(Step::MakeFolders)?;
    agent::link_code(order.code.as_ref(), &folder.work()).in_step(Step::LinkCode)?;
    let log = RotatedLog::open(folder, limits.log_bytes).in_step(Step::OpenLog)?;
    let socket = bind(folder.socket()).in_step(Step::BindSocket)?;
    let control = bind(folder.control()).in_step(Step::BindSocket)?;
    let port = ClaimedPort::any().in_step(Step::ClaimPort)?;
    let seal = Seal::of(&order, folder, port.number()).in_step(Step::FilterSystemCalls)?;
    let enclosure = enclose(&order, folder)?;
    let cgroups = Leaf::make(&order.cgroups, &group_name(folder), &limits).in_step(Step::MakeCgroup)?;
    let env = agent::environment(&mut order, folder, port.number());
    let folder = folder.clone();
    Ok(Start {
        folder,
        order,
        limits,
        lock,
        signals,
        log,
        socket,
        control,
        port,
        cgroups,
        enclosure,
        seal,
        env,
    })
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
        self.cgroups.remove();
    }

    fn bound_on_processes(&self) -> Option<u64> {
        self.limits.processes.filter(|_| spawn::processes_are_counted_apart())
    }

    fn launch(&mut self) -> Result<(OwnedFd, nix::unistd::Pid), SpawnError> {
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
            cgroups: &self.cgroups,
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
            cgroups: self.cgroups.paths().to_vec(),
            network: self.order.network,
            walls: self.order.walls,
        };
        write_record(&self.folder.init_record(), &record).in_step(Step::Record)?;
        let reactor = Reactor::new().in_step(Step::BecomeInit)?;
        let output = Output::new(output, self.log);
        let watched = reactor.add(&self.signals, SIGNALS, nix::sys::epoll::EpollFlags::EPOLLIN);
        watched.in_step(Step::BecomeInit)?;
        output.watch(&reactor).in_step(Step::BecomeInit)?;
        let ports = [self.port.number(), DEFAULT_PORT];
        let place = Place::of(self.enclosure.as_ref());
        let door = Door::new(self.socket, place, ports, &reactor).in_step(Step::BecomeInit)?;
        let addresses = Addresses::new(self.enclosure.as_ref(), &reactor).in_step(Step::MakeNetwork)?;
        let surroundings = Surroundings {
            env: self.env,
            folder: self.folder.work(),
            cgroups: self.cgroups.clone(),
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
            cgroups: self.cgroups,
            reactor,
            signals: self.signals,
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

fn read_order(host: &mut UnixStream) -> io::Result<Order> {
    let mut order = Vec::new();
    // To the end: half an order, of a host that died over it, is not carried out.
    host.read_to_end(&mut order)?;
    host.shutdown(Shutdown::Read)?;
    Ok(serde_json::from_slice(&order)?)
}

fn bind(path: PathBuf) -> io::Result<UnixListener> {
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket: OwnedFd = UnixListener::bind(path)?.into();
    Ok(spawn::out_of_the_way(socket)?.into())
}

fn group_name(folder: &IncarnationFolder) -> String {
    let name = folder.path().file_name().map(ToOwned::to_owned).unwrap_or_default();
    format!("agentcore-{}", String::from_utf8_lossy(&name.into_vec()))
}
