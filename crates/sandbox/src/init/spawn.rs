//! Starting a program: the agent's own, and commands that run beside it.

#![allow(unsafe_code, reason = "fork, and descriptors with fixed numbers")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use agentcore_protocol::agent::env;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::CloneFlags;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::wait::waitpid;
use nix::unistd::{
    ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fork, getpid, getppid, pipe2,
    setpgid,
};
use serde::{Deserialize, Serialize};

use super::disk;
use super::shield::Shield;
use crate::cgroup::Leaf;
use crate::walls::sys::{self, Cloned};
use crate::walls::{Enclosure, Furnishing, Seal};
use crate::wire::{Failure, InStep, Step, StepError};

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
    /// What init is protected by, and programs are not to be.
    pub(super) shield: Option<&'a Shield>,
    /// What it runs inside of, if anything.
    pub(super) enclosure: Option<&'a Enclosure>,
    /// What it puts inside before anything else, and closes: the first program alone.
    pub(super) furnishing: Option<&'a Furnishing>,
    pub(super) seal: &'a Seal,
    /// The session's bound on processes, for where those of its user are its own.
    pub(super) processes: Option<u64>,
    /// The session's bound on disk.
    pub(super) disk_bytes: Option<u64>,
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

/// Starts a program as the leader of a process group of its own, in the sandbox's session and behind
/// its walls. It is a child of this process, and killed when this process ends.
pub(super) fn spawn(program: Program<'_>) -> Result<Pid, SpawnError> {
    let (failure, report) = pipe2(OFlag::O_CLOEXEC).in_step(Step::Fork).map_err(SpawnError::Setup)?;
    let report = out_of_the_way(report).in_step(Step::Fork).map_err(SpawnError::Setup)?;
    let parent = getpid();
    let is_enclosed = program.enclosure.is_some();
    // SAFETY: init has one thread, so the child may do all that its parent might.
    match unsafe { fork() }.in_step(Step::Fork).map_err(SpawnError::Setup)? {
        ForkResult::Child => {
            let mut report = report.into();
            let error = become_program(program, parent, &mut report);
            say(&mut report, &Word::of(error));
            sys::leave(127)
        }
        ForkResult::Parent { child } => {
            drop(report);
            listen(child, is_enclosed, failure.into())
        }
    }
}

// What becomes of a child, which either is the program or has ushered it in.
fn listen(child: Pid, is_enclosed: bool, mut report: File) -> Result<Pid, SpawnError> {
    let mut born = (!is_enclosed).then_some(child);
    let mut failed = None;
    for word in hear(&mut report) {
        match word {
            Word::Born(pid) => born = Some(Pid::from_raw(pid)),
            Word::NoProgram(errno) => failed = Some(SpawnError::Program(io::Error::from_raw_os_error(errno))),
            Word::NoSetup(failure) => failed = Some(SpawnError::Setup(failure.into())),
        }
    }
    if is_enclosed {
        // It ends by itself.
        let _ = waitpid(child, None);
    }
    match (born, failed) {
        (Some(pid), None) => Ok(pid),
        (pid, failed) => {
            // Its status says nothing more.
            pid.map(|pid| waitpid(pid, None));
            let lost = || io::Error::other("it ended without a word");
            Err(failed.unwrap_or_else(|| SpawnError::Setup(StepError { step: Step::Fork, source: lost() })))
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

fn become_program(program: Program<'_>, parent: Pid, report: &mut File) -> SpawnError {
    match prepare(&program, parent, report) {
        Ok(()) => SpawnError::Program(execute(program)),
        Err(error) => SpawnError::Setup(error),
    }
}

fn prepare(program: &Program<'_>, parent: Pid, report: &mut File) -> Result<(), StepError> {
    // It takes rights that are given up inside.
    program.shield.map_or(Ok(()), Shield::put_down).in_step(Step::EnterCgroup)?;
    match program.enclosure {
        Some(enclosure) => go_inside(enclosure, program.cgroups, report)?,
        None => program.cgroups.enter().in_step(Step::EnterCgroup)?,
    }
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).in_step(Step::Fork)?;
    // Init's own signals are blocked for it to read; exec would pass that on.
    SigSet::empty().thread_set_mask().in_step(Step::Fork)?;
    program.listen.map_or(Ok(()), hand_over).in_step(Step::Fork)?;
    if let Some(enclosure) = program.enclosure {
        enclosure.settle()?;
        program.furnishing.map_or(Ok(()), Furnishing::put_in).in_step(Step::BuildRoot)?;
        program.processes.map_or(Ok(()), limit_processes).in_step(Step::LimitProcesses)?;
    }
    program.disk_bytes.map_or(Ok(()), disk::limit_files).in_step(Step::LimitFiles)?;
    program.seal.close()?;
    // After the change of ids, which would undo it.
    set_pdeathsig(Signal::SIGKILL).in_step(Step::Fork)?;
    // From inside, the parent has no number.
    if ![parent, Pid::from_raw(0)].contains(&getppid()) {
        // Init died before the kernel knew to tell us.
        return Err(io::Error::from(io::ErrorKind::BrokenPipe)).in_step(Step::Fork);
    }
    Ok(())
}

// Only the children of a process that enters namespaces are among the processes there. So this one
// enters and has a sibling, which goes on from here, and leaves.
fn go_inside(enclosure: &Enclosure, cgroups: &Leaf, report: &mut File) -> Result<(), StepError> {
    let birthplace = cgroups.birthplace().in_step(Step::EnterCgroup)?;
    enclosure.enter().in_step(Step::EnterNamespaces)?;
    match sys::clone_into(CloneFlags::CLONE_PARENT, birthplace.as_ref().map(AsFd::as_fd))
        .in_step(Step::EnterCgroup)?
    {
        Cloned::Child => Ok(()),
        Cloned::Parent(pid) => {
            say(report, &Word::Born(pid.as_raw()));
            sys::leave(0)
        }
    }
}

fn hand_over(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: every descriptor that init owns is out of the way of this one, so that nothing is
    // closed behind its owner's back; the copy, unlike the original, survives exec.
    let copied = unsafe { libc::dup2(socket.as_raw_fd(), FIRST_SOCKET) };
    nix::errno::Errno::result(copied)?;
    Ok(())
}

// Whatever control groups there are. In a user namespace it is the processes in there that count.
fn limit_processes(most: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NPROC)?;
    let most = most.min(hard);
    Ok(setrlimit(Resource::RLIMIT_NPROC, most, most)?)
}

/// Whether the kernel counts a user's processes in each user namespace apart, as it does since 5.14.
/// Before, one session's bound would be kept by all that its user runs.
pub(super) fn processes_are_counted_apart() -> bool {
    let release = nix::sys::utsname::uname().ok();
    let release = release.map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(14))
}

// Returns only when the program cannot be executed. What it inherits is as in a fresh process: every
// other descriptor closes.
//
// The kernel's own exec, not the library's: that one has a shell read what the kernel cannot run, be it a
// program for another kind of machine or somebody's notes.
fn execute(program: Program<'_>) -> io::Error {
    let replaced = || {
        let path = CString::new(program.path.as_os_str().as_bytes())?;
        let args = [program.path.as_os_str()].into_iter().chain(program.args.iter().map(OsString::as_os_str));
        let args = args.map(|arg| CString::new(arg.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let variables = environment(program.env, program.listen.is_some())?;
        chdir(program.folder)?;
        dup2_stdin(File::open("/dev/null")?)?;
        dup2_stdout(&program.stdout)?;
        dup2_stderr(&program.stderr)?;
        // Rust's own start has it ignored, which exec would pass on.
        // SAFETY: no handler is installed, the signal's usual effect is.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
        match execve(&path, &args, &variables)? {}
    };
    let outcome: io::Result<Infallible> = replaced();
    match outcome {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn environment(declared: &[(OsString, OsString)], listens: bool) -> io::Result<Vec<CString>> {
    let mut all: BTreeMap<OsString, OsString> = declared.iter().cloned().collect();
    if listens {
        all.insert(env::LISTEN_FDS.into(), "1".into());
        all.insert(env::LISTEN_PID.into(), getpid().to_string().into());
    }
    let lines = all.into_iter().map(|(name, value)| {
        let line = [name.as_bytes(), b"=", value.as_bytes()].concat();
        Ok(CString::new(line)?)
    });
    lines.collect()
}

/// What a child reports before its program runs, one a line; a program that runs closes the pipe.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    /// The program's process has this number.
    Born(i32),
    /// The program cannot be executed; the system's error number.
    NoProgram(i32),
    NoSetup(Failure),
}

impl Word {
    fn of(error: SpawnError) -> Self {
        match error {
            SpawnError::Program(source) => Self::NoProgram(source.raw_os_error().unwrap_or(libc::EIO)),
            SpawnError::Setup(error) => Self::NoSetup(error.into()),
        }
    }
}

fn say(report: &mut File, word: &Word) {
    if let Ok(mut line) = serde_json::to_vec(word) {
        line.push(b'\n');
        // At once, so that those of two processes do not mix. When init has gone there is nobody to tell.
        let _ = report.write_all(&line);
    }
}

fn hear(report: &mut File) -> Vec<Word> {
    let mut lines = Vec::new();
    // What has come until it fails was said all the same.
    let _ = report.read_to_end(&mut lines);
    lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// A pipe that a program may write to, and its end to read from.
pub(super) fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    // Only our end: the program's own must block as any pipe does.
    fcntl(read.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((out_of_the_way(read)?, out_of_the_way(write)?))
}
