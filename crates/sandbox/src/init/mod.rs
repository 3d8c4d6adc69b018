//! The init of a process sandbox: parent and reaper of everything that an agent starts.
//!
//! It is a process of its own between the host and the agent, small and single-threaded, so that
//! an agent outlives the host that started it. The host runs it with the incarnation's folder as
//! its only argument, the locked lock file as standard input and one end of a socket as standard
//! output; over that goes what to start, and comes how that went. From then on the folder is all
//! that ties it to any host:
//!
//! - it holds the lock for as long as it lives, and dies with everything in it: the kernel kills
//!   the agent when init dies;
//! - it writes what the agent says into a bounded log;
//! - it runs commands inside, for whoever asks at the control socket;
//! - it bridges to an agent that binds a TCP port instead of serving the handed-over socket;
//! - it ends the agent when that keeps more on disk than it may;
//! - it closes this machine's new addresses to the session, where nobody else does;
//! - SIGTERM is passed on to the agent, [`KILL_SIGNAL`] kills everything;
//! - when the agent has ended it kills what is left, writes down how the agent ended, and goes.

mod addresses;
mod agent;
mod alarm;
mod allowance;
mod bridge;
mod bridges;
mod clock;
mod control;
mod disk;
mod door;
mod flow;
mod listener;
mod output;
mod place;
mod port;
mod porter;
mod reactor;
mod setup;
mod sock_diag;
mod spawn;
mod supervisor;

use std::ffi::OsString;
use std::process::ExitCode;

use nix::sys::signal::Signal;

/// What tells init to kill everything in the sandbox.
pub const KILL_SIGNAL: Signal = Signal::SIGUSR1;

/// The argument by which init only says which walls stand, as JSON on standard output.
pub(crate) const PROBE: &str = "--probe";

/// Runs as the init of a sandbox, until that has ended. `args` is what follows the program's name.
///
/// Call it before anything else: before threads, runtimes and loggers.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let (Some(folder), None) = (args.next(), args.next()) else {
        return usage();
    };
    if folder == PROBE {
        return probe();
    }
    match setup::begin(folder.into()) {
        Ok(supervisor) => supervisor.run(),
        // The host has been told, and it tells people.
        Err(setup::Failed) => ExitCode::FAILURE,
    }
}

fn probe() -> ExitCode {
    match serde_json::to_writer(std::io::stdout(), &crate::walls::probe::look()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[allow(clippy::print_stderr, reason = "someone ran it by hand; there is no other way to tell them")]
fn usage() -> ExitCode {
    eprintln!("This is the init of an agent's sandbox. The host runs it; it is of no use by hand.");
    ExitCode::from(2)
}
