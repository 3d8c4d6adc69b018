//! Everything before the loop: from a bare process to a started agent, in named steps.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::rc::Rc;

use agentcore_protocol::agent::DEFAULT_PORT;
use nix::unistd::{chdir, dup2_stderr, dup2_stdin};

use super::addresses::Addresses;
use super::agent;
use super::clock::monotonic;
use super::control::{Control, Surroundings};
use super::disk::DiskWatch;
use super::door::Door;
use super::enclose::enclose;
use super::output::Output;
use super::place::Place;
use super::port::ClaimedPort;
use super::reactor::{Reactor, SIGNALS};
use super::ready::{Ready, kill_descendants};
use super::spawn::{self, Program, SpawnError};
use super::supervisor::Supervisor;
use crate::ResourceLimits;
use crate::folder::{IncarnationFolder, InitRecord, write_record};
use crate::log::{RotatedLog, open_for_appending};
use crate::parcel::Parcel;
use crate::removal::remove_file_if_there;
use crate::walls::{Enclosure, Furnishing, Prepared, Seal};
use crate::wire::{InStep, Order, Reply, Step, StepError};

/// Our own processes among those that a session's bound is on: init, the inner one, and whoever puts up
/// the walls around a program or reaches into its network. The agent's are bounded exactly, by its user.
const OURS_BEHIND_WALLS: u64 = 8;

/// The agent could not be started, and the host has been told why.
pub(super) struct Failed;

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
    let Some(ready) = Ready::get(host, &mut said).map_err(SpawnError::Setup)? else { return Ok(None) };
    match wait_for_order(host, said) {
        Ok(Some((order, lock))) => carry_out(ready, order, lock).map(Some),
        none => {
            ready.leave();
            none.map(|_| None).map_err(SpawnError::Setup)
        }
    }
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
            ready.leave();
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
    furnishing: Option<Furnishing>,
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
    if folder.work().exists() {
        // What is in there belongs to whoever had a life here before.
        ready.prepared.take().into_iter().for_each(Prepared::throw_away);
    }
    agent::make_folders(&folder).in_step(Step::MakeFolders)?;
    agent::write_launcher(&folder, &order.args).in_step(Step::MakeFolders)?;
    agent::link_code(order.code.as_ref(), &folder.work()).in_step(Step::LinkCode)?;
    let log = RotatedLog::open(&folder, limits.log_bytes).in_step(Step::OpenLog)?;
    let socket = bind(folder.socket()).in_step(Step::BindSocket)?;
    let control = bind(folder.control()).in_step(Step::BindSocket)?;
    let port = ClaimedPort::any().in_step(Step::ClaimPort)?;
    let seal = Seal::of(&order, &folder, port.number()).in_step(Step::FilterSystemCalls)?;
    let (enclosure, furnishing) = enclose(ready.prepared.take(), &order, &folder)?;
    let ours = if enclosure.is_some() { OURS_BEHIND_WALLS } else { 1 };
    let bound = ready.cgroups.bound(&ready.roots, &group_name(&folder), &limits, ours);
    bound.in_step(Step::MakeCgroup)?;
    let env = agent::environment(&mut order, &folder, port.number());
    Ok(Start { folder, order, limits, lock, log, socket, control, port, enclosure, furnishing, seal, env })
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
            furnishing: self.furnishing.as_ref(),
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
        mut self,
        ready: Ready,
        output: OwnedFd,
        agent: nix::unistd::Pid,
    ) -> Result<(Supervisor, InitRecord), StepError> {
        // What it held of the machine is inside.
        drop(self.furnishing.take());
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

fn bind(path: PathBuf) -> io::Result<UnixListener> {
    remove_file_if_there(&path)?;
    let socket: OwnedFd = UnixListener::bind(path)?.into();
    Ok(spawn::out_of_the_way(socket)?.into())
}

fn group_name(folder: &IncarnationFolder) -> String {
    let name = folder.path().file_name().map(ToOwned::to_owned).unwrap_or_default();
    format!("agentcore-{}", String::from_utf8_lossy(&name.into_vec()))
}
