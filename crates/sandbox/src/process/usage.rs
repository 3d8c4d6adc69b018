//! What a sandbox uses, from `/proc`.

use std::io;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use crate::Usage;
use crate::proc::Proc;

/// The use of everything below init. Processor time includes that of processes that have ended,
/// as init and their other parents have waited for them.
/// `inner` is ours and not counted as one of them.
pub(super) fn below(proc: &Proc, init: i32, inner: Option<i32>) -> io::Result<Usage> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, "the agent has ended");
    let own = proc.stat(init).ok_or_else(gone)?;
    let living: Vec<_> = proc
        .descendants(init)
        .into_iter()
        .filter_map(|pid| Some((Some(pid) == inner, proc.stat(pid)?)))
        .collect();
    let used = living.iter().map(|(_, stat)| stat.cpu_ticks);
    let ticks = own.cpu_ticks + used.sum::<u64>();
    let theirs: Vec<_> = living.into_iter().filter(|(ours, _)| !ours).map(|(_, stat)| stat).collect();
    let pages: u64 = theirs.iter().map(|stat| stat.resident_pages).sum();
    let processes = theirs.iter().filter(|stat| !stat.zombie).count();
    Ok(Usage {
        cpu: Duration::from_secs_f64(ticks as f64 / system(SysconfVar::CLK_TCK)? as f64),
        memory_bytes: pages * system(SysconfVar::PAGE_SIZE)?,
        processes: u32::try_from(processes).unwrap_or(u32::MAX),
    })
}

fn system(variable: SysconfVar) -> io::Result<u64> {
    let value = sysconf(variable)?.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
    value.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "the system does not say"))
}
