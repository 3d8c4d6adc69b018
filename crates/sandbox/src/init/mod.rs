//! The init of a process sandbox: parent and reaper of everything that an agent starts.
//!
//! It is a process of its own between the host and the agent, small and single-threaded, so that
//! an agent outlives the host that started it. The host runs it with one end of a socket as standard
//! input. It makes itself ready, and waits for what to start, which comes with the incarnation's
//! locked lock file; the host hears how that went. From then on the incarnation's folder is all that
//! ties it to any host:
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
mod enclose;
mod flow;
mod listener;
mod output;
mod place;
mod port;
mod porter;
mod reactor;
mod ready;
mod setup;
mod shield;
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
    let args: Vec<_> = args.into_iter().collect();
    match args.as_slice() {
        [] => match setup::begin() {
            Ok(Some(supervisor)) => supervisor.run(),
            // Nobody needed it.
            Ok(None) => ExitCode::SUCCESS,
            // The host has been told, and it tells people.
            Err(setup::Failed) => ExitCode::FAILURE,
        },
        [only] if only == PROBE => probe(),
        _ => usage(),
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
