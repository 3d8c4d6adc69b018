//! What a sandbox uses, from `/proc`.

use std::io;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use crate::Usage;
use crate::proc::Proc;

/// The use of everything below init. Processor time includes that of processes that have ended,
/// as init and their other parents have waited for them.
pub(super) fn below(proc: &Proc, init: i32) -> io::Result<Usage> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, "the agent has ended");
    let own = proc.stat(init).ok_or_else(gone)?;
    let living: Vec<_> = proc.descendants(init).into_iter().filter_map(|pid| proc.stat(pid)).collect();
    let ticks = own.cpu_ticks + living.iter().map(|stat| stat.cpu_ticks).sum::<u64>();
    let pages: u64 = living.iter().map(|stat| stat.resident_pages).sum();
    let processes = living.iter().filter(|stat| !stat.zombie).count();
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
