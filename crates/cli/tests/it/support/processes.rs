//! Which processes there are.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// A process of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sandboxed {
    pub(crate) pid: u32,
    pub(crate) command: String,
}

impl Sandboxed {
    /// Whether it is the test agent itself, not its init.
    pub(crate) fn is_test_agent(&self) -> bool {
        self.command.contains(super::agent::TEST_NAME)
    }

    /// Whether it is ours, not the agent's.
    pub(crate) fn is_init(&self) -> bool {
        self.command.ends_with(" __init ")
    }

    /// What it has in common with this process that it should not, and which rights it has left.
    pub(super) fn gaps(&self) -> Vec<String> {
        let own = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        let pid = self.pid.to_string();
        let kinds = ["user", "pid", "mnt", "ipc", "uts", "cgroup", "net"];
        let shared = kinds.into_iter().filter(|kind| own(&pid, kind) == own("self", kind)).map(str::to_owned);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let sealed =
            ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"];
        let open = sealed.into_iter().filter(|line| !status.contains(line)).map(|line| format!("not {line}"));
        shared.chain(open).collect()
    }

    pub(crate) fn kill(&self) {
        signal(self.pid, Signal::SIGKILL);
    }
}

/// Sends a signal; a process that is gone is none the worse for it.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), signal);
}

/// All processes, with their arguments. A zombie has none, and is gone as soon as its parent looks.
pub(crate) fn command_lines() -> Vec<(u32, String)> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = entries.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        (!line.is_empty()).then(|| (pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    });
    lines.collect()
}

/// The processes of the sandboxes of a project: every one names the folder of its incarnation in
/// its environment, or (an init) runs in it.
pub(crate) fn below(project: &Path) -> Vec<Sandboxed> {
    let folder = project.join(".agentcore/i/").into_os_string().into_string().unwrap();
    let names_it = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ"));
        environment.is_ok_and(|it| String::from_utf8_lossy(&it).contains(&folder))
    };
    let runs_in_it = |pid: u32| {
        let place = fs::read_link(format!("/proc/{pid}/cwd"));
        place.is_ok_and(|it| it.to_string_lossy().starts_with(&folder))
    };
    command_lines()
        .into_iter()
        .filter(|(pid, _)| runs_in_it(*pid) || names_it(*pid))
        .map(|(pid, command)| Sandboxed { pid, command })
        .collect()
}
