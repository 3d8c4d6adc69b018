//! The namespaces of a sandbox and the process that holds them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::identity::Identity;
use super::network::{self, AddressWatch, Network};
use super::root::{self, Lender, Trees};
use super::sys::{self, Cloned};
use super::{Wall, Walls, inner, privileges};
use crate::folder::IncarnationFolder;
use crate::wire::Order;
use crate::wire::{Expected, Failure, InStep, Step, StepError};

/// What an enclosure is to be like.
#[derive(Debug)]
pub(crate) struct Design {
    /// The walls to put up; those that are no namespace are put up by whatever runs inside.
    pub(crate) walls: Walls,
    /// Its own network, unless it is the host's.
    pub(crate) network: Option<Network>,
    pub(crate) identity: Identity,
    /// What can be seen inside, if the mount wall stands.
    pub(crate) root: root::Plan,
}

impl Design {
    /// What an order asks for.
    pub(crate) fn of(order: &Order, folder: &IncarnationFolder) -> io::Result<Self> {
        let walls = order.walls.clone();
        let has_root = walls.contains(&Wall::Mount);
        let root = if has_root { root::Plan::of(order, folder)? } else { root::Plan::default() };
        // Nobody else's folders are open to a lent id: it needs some at hand.
        let identity = if has_root { Identity::of(&folder.work()) } else { Identity::own() };
        let network =
            if walls.contains(&Wall::Network) { Network::plan(order.network, folder.path())? } else { None };
        Ok(Self { walls, network, identity, root })
    }

    /// What all agents have whose orders are as expected. `None` where that is too little to be made
    /// without an order: a lent id can be anybody's, and what is shown to it is opened outside. Nothing
    /// but init itself waits with it, so that no `pasta` does.
    pub(super) fn expected(expected: Expected) -> io::Result<Option<Self>> {
        let Expected { walls, network: mode } = expected;
        let identity = Identity::of_nobody();
        if ![Wall::User, Wall::Mount].iter().all(|wall| walls.contains(wall)) || !identity.is_lent() {
            return Ok(None);
        }
        let is_apart = walls.contains(&Wall::Network);
        let network = if is_apart { Network::plan(mode, Path::new(""))? } else { None };
        if network.as_ref().is_some_and(Network::is_joined_first) {
            return Ok(None);
        }
        Ok(Some(Self { walls, network, identity, root: root::Plan::common(mode) }))
    }

    pub(crate) fn has(&self, wall: Wall) -> bool {
        self.walls.contains(&wall)
    }

    /// Whether any of it needs namespaces.
    pub(crate) fn is_enclosed(&self) -> bool {
        self.has(Wall::User)
    }

    /// The inner process's part of the mount wall.
    pub(super) fn build_root(&self, trees: Option<Trees>) -> Result<(), StepError> {
        if !self.has(Wall::Mount) {
            return if self.has(Wall::Pid) {
                root::mount_proc_alone().in_step(Step::BuildRoot)
            } else {
                Ok(())
            };
        }
        let trees = trees.map_or_else(|| self.root.open(None), Ok).in_step(Step::OpenRoot)?;
        self.root.build(&trees).in_step(Step::BuildRoot)
    }

    // The control group's is made by each program for itself, once it is in its group.
    fn namespaces(&self) -> CloneFlags {
        let mut flags = CloneFlags::CLONE_NEWUSER;
        for (wall, flag) in [
            (Wall::Pid, CloneFlags::CLONE_NEWPID),
            (Wall::Mount, CloneFlags::CLONE_NEWNS),
            (Wall::Ipc, CloneFlags::CLONE_NEWIPC),
            (Wall::Uts, CloneFlags::CLONE_NEWUTS),
        ] {
            flags.set(flag, self.has(wall));
        }
        // A private /proc is a mount too.
        flags.set(CloneFlags::CLONE_NEWNS, self.has(Wall::Mount) || self.has(Wall::Pid));
        flags.set(CloneFlags::CLONE_NEWNET, self.network.is_some());
        flags
    }
}

/// The namespaces, for as long as this and the inner process live.
#[derive(Debug)]
pub(crate) struct Enclosure {
    design: Design,
    inner: Pid,
    // By descriptors, taken while the inner process may still be looked into; the user namespace
    // first, for it gives the right to enter the others.
    namespaces: Vec<(CloneFlags, File)>,
}

impl Enclosure {
    /// Makes the namespaces, and waits until the root stands. It is the first program's to
    /// [close](super::Furnishing::put_in).
    pub(crate) fn make(design: Design) -> Result<Self, StepError> {
        let trees = if design.has(Wall::Mount) && design.identity.is_lent() {
            // The lent id may not read all that init may.
            let mut lender = Lender::new(design.identity);
            Some(design.root.open(Some(&mut lender)).in_step(Step::OpenRoot)?)
        } else {
            None
        };
        Self::with(design, trees)
    }

    /// The same, with what is shown at hand. Without it, the inner process opens it.
    pub(super) fn with(design: Design, trees: Option<Trees>) -> Result<Self, StepError> {
        let (ours, theirs) = UnixStream::pair().in_step(Step::MakeNamespaces)?;
        match design.identity.clone(design.namespaces()).in_step(Step::MakeNamespaces)? {
            Cloned::Child => {
                drop(ours);
                inner::run(&design, trees, theirs)
            }
            Cloned::Parent(inner) => {
                drop((theirs, trees));
                let mut enclosure = Self { design, inner, namespaces: Vec::new() };
                match enclosure.bring_up(ours) {
                    Ok(()) => Ok(enclosure),
                    Err(error) => {
                        enclosure.tear_down();
                        Err(error)
                    }
                }
            }
        }
    }

    fn bring_up(&mut self, mut inner: UnixStream) -> Result<(), StepError> {
        self.namespaces = take_hold(self.inner, self.design.namespaces()).in_step(Step::MakeNamespaces)?;
        self.design.identity.map(self.inner).in_step(Step::MapIds)?;
        self.join(true).in_step(Step::MakeNetwork)?;
        inner.write_all(b"\n").in_step(Step::MakeNamespaces)?;
        // It builds what is inside by now.
        self.join(false).in_step(Step::MakeNetwork)?;
        let mut answer = Vec::new();
        inner.read_to_end(&mut answer).in_step(Step::MakeNamespaces)?;
        match answer.as_slice() {
            b"\n" => Ok(()),
            [] => {
                Err(io::Error::other("the inner process ended without a word")).in_step(Step::MakeNamespaces)
            }
            failure => Err(serde_json::from_slice::<Failure>(failure).in_step(Step::MakeNamespaces)?.into()),
        }
    }

    // Joins the network to the outside if it is one of those that have to be `first`, or of the others.
    fn join(&self, first: bool) -> io::Result<()> {
        let Some(network) = self.design.network.as_ref().filter(|it| it.is_joined_first() == first) else {
            return Ok(());
        };
        let its = self.namespaces.iter().find(|(kind, _)| *kind == CloneFlags::CLONE_NEWNET);
        let (_, its) = its.ok_or(io::ErrorKind::NotFound)?;
        network.outside(self.inner, its.as_fd())
    }

    /// Moves the calling process in, but for its place among the processes and its id, which are
    /// those of its children from now on.
    pub(crate) fn enter(&self) -> io::Result<()> {
        // Nobody inside may look into what is not yet sealed.
        nix::sys::prctl::set_dumpable(false)?;
        self.enter_those(CloneFlags::all())
    }

    fn enter_those(&self, kinds: CloneFlags) -> io::Result<()> {
        let wanted = self.namespaces.iter().filter(|(kind, _)| kinds.contains(*kind));
        wanted.into_iter().try_for_each(|(kind, namespace)| Ok(setns(namespace, *kind)?))
    }

    /// Whether it has a network of its own.
    pub(crate) fn has_network(&self) -> bool {
        self.design.network.is_some()
    }

    /// Moves the calling process to that network, and gives up all rights.
    pub(crate) fn enter_network(&self) -> io::Result<()> {
        nix::sys::prctl::set_dumpable(false)?;
        self.enter_those(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
        privileges::give_up()
    }

    /// Listens for addresses of this machine from which the session is kept by its own network alone.
    pub(crate) fn watch_addresses(&self) -> io::Result<Option<AddressWatch>> {
        match &self.design.network {
            Some(network) => network.watch_addresses(),
            None => Ok(None),
        }
    }

    /// Keeps the session from these addresses of this machine.
    pub(crate) fn close_addresses(&self, this_machine: &[Ipv4Addr]) -> io::Result<()> {
        sys::in_a_child(|| {
            nix::sys::prctl::set_dumpable(false)?;
            self.enter_those(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
            network::close_to_session(this_machine)
        })
    }

    /// Makes the calling process, just born inside and in its control groups, whom an agent is.
    pub(crate) fn settle(&self) -> Result<(), StepError> {
        if self.design.has(Wall::Cgroup) {
            unshare(CloneFlags::CLONE_NEWCGROUP).in_step(Step::EnterNamespaces)?;
        }
        self.design.identity.assume().in_step(Step::EnterNamespaces)
    }

    pub(crate) fn inner(&self) -> Pid {
        self.inner
    }

    pub(super) fn design(&self) -> &Design {
        &self.design
    }

    /// Whether the inner process lives.
    pub(super) fn stands(&self) -> bool {
        matches!(waitpid(self.inner, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
    }

    /// Ends everything inside.
    pub(crate) fn tear_down(&self) {
        self.abandon();
        let _ = waitpid(self.inner, None);
    }

    /// The same, without waiting for it.
    pub(super) fn abandon(&self) {
        let _ = kill(self.inner, Signal::SIGKILL);
    }
}

fn take_hold(process: Pid, kinds: CloneFlags) -> io::Result<Vec<(CloneFlags, File)>> {
    let all = [
        (CloneFlags::CLONE_NEWUSER, "user"),
        (CloneFlags::CLONE_NEWPID, "pid"),
        (CloneFlags::CLONE_NEWNS, "mnt"),
        (CloneFlags::CLONE_NEWIPC, "ipc"),
        (CloneFlags::CLONE_NEWUTS, "uts"),
        (CloneFlags::CLONE_NEWNET, "net"),
    ];
    let made = all.into_iter().filter(|(kind, _)| kinds.contains(*kind));
    made.map(|(kind, name)| Ok((kind, File::open(format!("/proc/{process}/ns/{name}"))?))).collect()
}
