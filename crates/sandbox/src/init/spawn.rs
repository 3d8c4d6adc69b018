//! Starting a program: the agent's own, and commands that run beside it.

#![allow(unsafe_code, reason = "fork, and descriptors with fixed numbers")]

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use agentcore_protocol::agent::env;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, pipe2, setpgid};

use crate::cgroup::Leaf;
use crate::wire::{InStep, Step, StepError};

/// Where systemd's protocol has the first socket.
const FIRST_SOCKET: i32 = 3;
/// Descriptors from here on are out of the way of those that programs are handed.
const OUT_OF_THE_WAY: i32 = 10;

/// A program to start.
pub(super) struct Program<'a> {
    pub(super) path: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) env: &'a [(OsString, OsString)],
    pub(super) folder: &'a Path,
    pub(super) cgroups: &'a Leaf,
    /// A listening socket to hand over.
    pub(super) listen: Option<BorrowedFd<'a>>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Why a program did not start.
#[derive(Debug)]
pub(super) enum SpawnError {
    /// It cannot be executed.
    Program(io::Error),
    /// What has to be done before that failed.
    Setup(StepError),
}

/// Starts a program as the leader of a process group of its own, in the sandbox's session. It is
/// killed when this process ends.
pub(super) fn spawn(program: Program<'_>) -> Result<Pid, SpawnError> {
    let (failure, report) = pipe2(OFlag::O_CLOEXEC).in_step(Step::Fork).map_err(SpawnError::Setup)?;
    let report = out_of_the_way(report).in_step(Step::Fork).map_err(SpawnError::Setup)?;
    let parent = getpid();
    // SAFETY: init has one thread, so the child may do all that its parent might.
    match unsafe { fork() }.in_step(Step::Fork).map_err(SpawnError::Setup)? {
        ForkResult::Child => {
            let error = become_program(program, parent);
            tell(report.into(), &error);
            // SAFETY: _exit only ends the process, without the parent's exit handlers.
            unsafe { libc::_exit(127) }
        }
        ForkResult::Parent { child } => {
            drop(report);
            match hear(failure.into()) {
                None => Ok(child),
                Some(error) => {
                    // It ends by itself; its status says nothing more.
                    let _ = nix::sys::wait::waitpid(child, None);
                    Err(error)
                }
            }
        }
    }
}

/// Closes whatever the host let slip besides the standard descriptors, so that no agent gets it.
/// Only for the very beginning, when nothing else is open yet.
pub(super) fn close_the_rest() -> io::Result<()> {
    // SAFETY: three integers; nobody owns a descriptor above the standard ones so far.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, FIRST_SOCKET, u32::MAX, 0) };
    nix::errno::Errno::result(closed)?;
    Ok(())
}

/// Moves a descriptor to where it cannot collide with those that programs are handed.
pub(super) fn out_of_the_way(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= OUT_OF_THE_WAY {
        return Ok(fd);
    }
    let moved = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(OUT_OF_THE_WAY))?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

fn become_program(program: Program<'_>, parent: Pid) -> SpawnError {
    match prepare(&program, parent) {
        Ok(()) => SpawnError::Program(execute(program)),
        Err(error) => SpawnError::Setup(error),
    }
}

fn prepare(program: &Program<'_>, parent: Pid) -> Result<(), StepError> {
    set_pdeathsig(Signal::SIGKILL).in_step(Step::Fork)?;
    if getppid() != parent {
        // Init died before the kernel knew to tell us.
        return Err(io::Error::from(io::ErrorKind::BrokenPipe)).in_step(Step::Fork);
    }
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).in_step(Step::Fork)?;
    // Init's own signals are blocked for it to read; exec would pass that on.
    SigSet::empty().thread_set_mask().in_step(Step::Fork)?;
    program.cgroups.enter().in_step(Step::EnterCgroup)?;
    program.listen.map_or(Ok(()), hand_over).in_step(Step::Fork)
}

fn hand_over(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: every descriptor that init owns is out of the way of this one, so that nothing is
    // closed behind its owner's back; the copy, unlike the original, survives exec.
    let copied = unsafe { libc::dup2(socket.as_raw_fd(), FIRST_SOCKET) };
    nix::errno::Errno::result(copied)?;
    Ok(())
}

// Returns only when the program cannot be executed. What it inherits is as in a fresh process:
// exec resets SIGPIPE, and every other descriptor closes.
fn execute(program: Program<'_>) -> io::Error {
    let mut command = Command::new(&program.path);
    command.args(&program.args).env_clear().envs(program.env.iter().map(|(name, value)| (name, value)));
    if program.listen.is_some() {
        command.env(env::LISTEN_FDS, "1").env(env::LISTEN_PID, getpid().to_string());
    }
    command.current_dir(program.folder).stdin(Stdio::null());
    command.stdout(program.stdout).stderr(program.stderr).exec()
}

// The child says what failed as two numbers, the step (or none for the program) and the error;
// a program that runs closes the pipe without a word.
fn tell(report: std::fs::File, error: &SpawnError) {
    let (step, source) = match error {
        SpawnError::Program(source) => (0, source),
        SpawnError::Setup(StepError { step: Step::EnterCgroup, source }) => (1, source),
        SpawnError::Setup(StepError { source, .. }) => (2, source),
    };
    let mut message = [step; 5];
    message[1..].copy_from_slice(&source.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes());
    let mut report = report;
    // When init has gone there is nobody to tell.
    let _ = report.write_all(&message);
}

fn hear(mut failure: std::fs::File) -> Option<SpawnError> {
    let mut message = [0; 5];
    failure.read_exact(&mut message).ok()?;
    let [step, errno @ ..] = message;
    let source = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
    Some(match step {
        0 => SpawnError::Program(source),
        1 => SpawnError::Setup(StepError { step: Step::EnterCgroup, source }),
        _ => SpawnError::Setup(StepError { step: Step::Fork, source }),
    })
}

/// A pipe that a program may write to, and its end to read from.
pub(super) fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    // Only our end: the program's own must block as any pipe does.
    fcntl(read.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((out_of_the_way(read)?, out_of_the_way(write)?))
}
