//! The inner process: PID 1 of the namespaces.
//!
//! It builds what is inside, gives up all rights, and from then on only reaps processes whose parents
//! have ended. It is a copy of init and executes nothing, so that nothing but its own few lines
//! runs in it. An agent can neither signal nor trace it.

use std::convert::Infallible;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::prctl::{set_dumpable, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::sethostname;

use super::enclosure::Design;
use super::root::Trees;
use super::{Seal, Wall, identity, sys};
use crate::wire::{Failure, InStep, Step, StepError};

/// How many of a kind a session may have that the kernel counts by users. No agent watches so many
/// folders; the machine's own bounds are 128 instances and some 100,000 watches for all of a user's.
const MOST_BY_USER: [(&str, &str); 4] = [
    ("inotify_instances", "32"),
    ("inotify_watches", "32768"),
    ("fanotify_groups", "8"),
    ("fanotify_marks", "4096"),
];

/// Runs as the inner process, and never returns.
pub(super) fn run(design: &Design, trees: Option<Trees>, mut init: UnixStream) -> ! {
    if let Err(error) = build(design, trees, &mut init) {
        if let Ok(text) = serde_json::to_vec(&Failure::from(error)) {
            // When init has gone there is nobody to tell.
            let _ = init.write_all(&text);
        }
        sys::leave(1);
    }
    // It holds the lock of the folder as well as init does, and must not.
    drop(init);
    match sys::close_all().map(|()| reap_forever()) {
        Ok(never) => match never {},
        Err(_) => sys::leave(1),
    }
}

fn build(design: &Design, trees: Option<Trees>, init: &mut UnixStream) -> Result<(), StepError> {
    // Not before init has mapped the ids.
    init.read_exact(&mut [0]).in_step(Step::MakeNamespaces)?;
    design.identity.assume().in_step(Step::MapIds)?;
    bound_what_is_counted_by_user();
    // No process of the agent's may look into this one, though it has the same user.
    set_dumpable(false).in_step(Step::MakeNamespaces)?;
    set_pdeathsig(Signal::SIGKILL).in_step(Step::MakeNamespaces)?;
    if design.has(Wall::Uts) {
        sethostname(identity::NAME).in_step(Step::MakeNamespaces)?;
    }
    if let Some(network) = &design.network {
        network.inside().in_step(Step::JoinNetwork)?;
    }
    design.build_root(trees)?;
    Seal::of_inner(&design.walls).in_step(Step::FilterSystemCalls)?.close()?;
    // Had init died before the kernel knew to tell us, this would fail.
    init.write_all(b"\n").in_step(Step::MakeNamespaces)
}

// What a user may have of these is shared by all of the user's sessions, and by whatever else runs as it.
fn bound_what_is_counted_by_user() {
    for (kind, most) in MOST_BY_USER {
        // Where `/proc` is read-only, as in some containers, there is the user's own bound.
        let _ = fs::write(format!("/proc/sys/user/max_{kind}"), most);
    }
}

fn reap_forever() -> Infallible {
    let mut child_ended = SigSet::empty();
    child_ended.add(Signal::SIGCHLD);
    // Init has blocked it, so that none is lost between the two calls.
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => {
                // Whatever wakes it, it looks again.
                let _ = child_ended.wait();
            }
            _ => {}
        }
    }
}
