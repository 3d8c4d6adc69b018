//! Commands that run inside, beside the agent.
//!
//! A request is four bytes of length (little-endian), sent together with two descriptors for
//! standard output and standard error, then the command itself. The reply is one line of JSON.
//! Whoever closes the connection before that has the command killed, and a host that dies closes
//! all of its connections.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;

use nix::sys::epoll::EpollFlags;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::socket::MsgFlags;
use nix::unistd::Pid;

use super::reactor::{CONTROL, Reactor, Token};
use super::shield::Shield;
use super::spawn::{self, Program, SpawnError};
use crate::cgroup::Leaf;
use crate::parcel::Parcel;
use crate::proc::Proc;
use crate::walls::{Enclosure, Seal};
use crate::wire::CommandReply;

/// The longest command that is taken.
const LONGEST_COMMAND: usize = 1 << 20;
const SHELL: &str = "/bin/sh";

/// What commands run with.
pub(super) struct Surroundings {
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) folder: std::path::PathBuf,
    pub(super) cgroups: Leaf,
    pub(super) shield: Option<Shield>,
    pub(super) enclosure: Option<Rc<Enclosure>>,
    pub(super) seal: Seal,
    pub(super) processes: Option<u64>,
    pub(super) disk_bytes: Option<u64>,
}

/// The control socket and the commands that came over it.
pub(super) struct Control {
    listener: UnixListener,
    surroundings: Surroundings,
    peers: HashMap<Token, Peer>,
}

struct Peer {
    stream: UnixStream,
    request: Parcel,
    command: Option<Pid>,
}

impl Control {
    pub(super) fn new(
        listener: UnixListener,
        surroundings: Surroundings,
        reactor: &Reactor,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        reactor.add(&listener, CONTROL, EpollFlags::EPOLLIN)?;
        Ok(Self { listener, surroundings, peers: HashMap::new() })
    }

    /// Takes new connections.
    pub(super) fn accept_all(&mut self, reactor: &mut Reactor) {
        while let Ok((stream, _)) = self.listener.accept() {
            let (token, _) = reactor.next_tokens();
            let watched =
                stream.set_nonblocking(true).and_then(|()| reactor.add(&stream, token, EpollFlags::EPOLLIN));
            if watched.is_ok() {
                let peer = Peer { stream, request: Parcel::default(), command: None };
                self.peers.insert(token, peer);
            }
        }
    }

    /// Something happened at a connection.
    pub(super) fn event(&mut self, token: Token, events: EpollFlags, reactor: &Reactor) {
        let Some(peer) = self.peers.get_mut(&token) else { return };
        if events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) || peer.receive().is_err() {
            return self.hang_up(token);
        }
        let Some(shell) = peer.complete_request() else { return };
        // From here on only the end of the connection matters.
        if reactor.modify(&peer.stream, token, EpollFlags::empty()).is_err() {
            return self.hang_up(token);
        }
        match start(&self.surroundings, shell, std::mem::take(&mut peer.request.descriptors)) {
            Ok(pid) => peer.command = Some(pid),
            Err(error) => self.reply(token, CommandReply::Failed(error.raw_os_error().unwrap_or(libc::EIO))),
        }
    }

    /// A child has ended. Whether it was one of these commands.
    pub(super) fn ended(&mut self, pid: Pid, reply: CommandReply) -> bool {
        let peer = self.peers.iter().find(|(_, peer)| peer.command == Some(pid));
        let Some(token) = peer.map(|(token, _)| *token) else { return false };
        self.reply(token, reply);
        true
    }

    fn reply(&mut self, token: Token, reply: CommandReply) {
        let Some(mut peer) = self.peers.remove(&token) else { return };
        if let Ok(text) = serde_json::to_vec(&reply) {
            // A peer that has gone asks no more.
            let _ = peer.stream.write_all(&text);
        }
    }

    fn hang_up(&mut self, token: Token) {
        if let Some(Peer { command: Some(pid), .. }) = self.peers.remove(&token) {
            kill_tree(pid);
        }
    }
}

impl Peer {
    fn receive(&mut self) -> io::Result<()> {
        let count = self.request.receive(&self.stream, MsgFlags::MSG_DONTWAIT)?;
        let unfinished = self.request.bytes.len() > LONGEST_COMMAND + size_of::<u32>();
        if count == 0 || unfinished { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
    }

    fn complete_request(&mut self) -> Option<Vec<u8>> {
        let (length, command) = self.request.bytes.split_first_chunk()?;
        (command.len() >= u32::from_le_bytes(*length) as usize).then(|| command.to_vec())
    }
}

fn start(surroundings: &Surroundings, shell: Vec<u8>, descriptors: Vec<OwnedFd>) -> io::Result<Pid> {
    let mut descriptors = descriptors.into_iter();
    let (Some(stdout), Some(stderr)) = (descriptors.next(), descriptors.next()) else {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    };
    let program = Program {
        path: Path::new(SHELL).into(),
        args: vec!["-c".into(), OsString::from_vec(shell)],
        env: &surroundings.env,
        folder: &surroundings.folder,
        cgroups: &surroundings.cgroups,
        shield: surroundings.shield.as_ref(),
        enclosure: surroundings.enclosure.as_deref(),
        furnishing: None,
        seal: &surroundings.seal,
        processes: surroundings.processes,
        disk_bytes: surroundings.disk_bytes,
        listen: None,
        stdout: spawn::out_of_the_way(stdout)?,
        stderr: spawn::out_of_the_way(stderr)?,
    };
    spawn::spawn(program).map_err(|error| match error {
        SpawnError::Program(source) => source,
        SpawnError::Setup(error) => error.source,
    })
}

// The descendants too: a command may have started sessions of its own.
fn kill_tree(pid: Pid) {
    for descendant in Proc::default().descendants(pid.as_raw()) {
        let _ = kill(Pid::from_raw(descendant), Signal::SIGKILL);
    }
    let _ = killpg(pid, Signal::SIGKILL);
}
