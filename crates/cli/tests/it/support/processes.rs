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
    pub(super) fn is_init(&self) -> bool {
        self.command.ends_with(" __init ")
    }

    /// What it has in common with this process that it should not, and which rights it has left.
    pub(super) fn gaps(&self) -> Vec<String> {
        let own = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        let pid = self.pid.to_string();
        let kinds = ["user", "pid", "mnt", "ipc", "uts", "net"];
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

/// The processes of the sandboxes of a project: every one names the folder of its incarnation in
/// its environment, or (an init) runs in it.
pub(crate) fn below(project: &Path) -> Vec<Sandboxed> {
    let folder = project.join(".agentcore/i/").into_os_string().into_string().unwrap();
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let read = |file: &str| {
                fs::read(entry.path().join(file)).map(|it| String::from_utf8_lossy(&it).into_owned())
            };
            let command = read("cmdline").ok()?.replace('\0', " ");
            let runs_inside = fs::read_link(entry.path().join("cwd"))
                .is_ok_and(|it| it.to_string_lossy().starts_with(&folder));
            let belongs = runs_inside || read("environ").is_ok_and(|it| it.contains(&folder));
            // A zombie has no command line, and is gone as soon as its parent looks.
            (belongs && !command.is_empty()).then_some(Sandboxed { pid, command })
        })
        .collect()
}
