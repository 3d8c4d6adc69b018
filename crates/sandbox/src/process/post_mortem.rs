//! What became of a sandbox whose init has ended.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Context, blocking};
use crate::cgroup::Leaf;
use crate::folder::{ExitRecord, IncarnationFolder, InitRecord, read_record, write_record};
use crate::pidfd::PidFd;
use crate::{Exit, ExitStatus, SANDBOX_VARIABLE};

/// Between two looks for processes that are left.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Looks, before giving up on what does not die.
const LOOKS: usize = 400;

/// The exit that init wrote down; or, when init itself was killed, the exit of an agent that the
/// kernel killed with it, after whatever that left behind has been killed too. `None` without
/// either: it never got so far.
pub(super) async fn examine(
    context: &Arc<Context>,
    folder: &IncarnationFolder,
    record: Option<&InitRecord>,
) -> Option<Exit> {
    let leaf = Leaf::existing(record.map(|record| record.cgroups.clone()).unwrap_or_default());
    if let Ok(Some(written)) = read_record::<ExitRecord>(&folder.exit_record()) {
        // Init cannot remove what it is in.
        leaf.remove();
        return Some(written.exit());
    }
    sweep(context, folder, &leaf).await;
    let out_of_memory = leaf.ran_out_of_memory();
    leaf.remove();
    record?;
    let status = ExitStatus::Signal(Signal::SIGKILL as i32);
    let exit = Exit { status, out_of_memory, over_disk_limit: None, at: context.clock.now() };
    if let Err(error) = write_record(&folder.exit_record(), &ExitRecord::new(exit, &context.boot_id)) {
        tracing::warn!(folder = %folder.path().display(), %error, "an exit cannot be written down");
    }
    Some(exit)
}

async fn sweep(context: &Arc<Context>, folder: &IncarnationFolder, leaf: &Leaf) {
    for _ in 0..LOOKS {
        let (context, folder, leaf) = (Arc::clone(context), folder.clone(), leaf.clone());
        let killed = blocking(move || kill_once(&context, folder.path().as_os_str(), &leaf)).await;
        if killed.is_ok_and(|killed| killed == 0) {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    tracing::warn!(folder = %folder.path().display(), "processes of a sandbox cannot be killed");
}

// The kernel kills the agent itself when init dies. Its descendants are found by their control
// group, or by the variable that they started with.
fn kill_once(context: &Context, folder: &OsStr, leaf: &Leaf) -> usize {
    leaf.kill();
    let inside = leaf.processes().into_iter().filter(|pid| kill_if(*pid, || leaf.processes().contains(pid)));
    let inside = inside.count();
    let proc = &context.proc;
    let marked = proc.with_variable(SANDBOX_VARIABLE, folder).into_iter();
    inside + marked.filter(|pid| kill_if(*pid, || proc.has_variable(*pid, SANDBOX_VARIABLE, folder))).count()
}

// Asks again once the process is held, for its number may have gone to another in between.
fn kill_if(pid: i32, is_meant: impl Fn() -> bool) -> bool {
    let kill = || -> io::Result<bool> {
        let process = PidFd::open(pid)?;
        if !is_meant() {
            return Ok(false);
        }
        process.signal(Signal::SIGKILL)?;
        Ok(true)
    };
    kill().unwrap_or(false)
}
