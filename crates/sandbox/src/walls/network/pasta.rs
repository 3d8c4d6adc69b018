//! A session's way out where this process may not make links: `pasta`, of the package passt. It
//! carries the session's connections over sockets of its own, as any program's.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Pid;

use crate::SANDBOX_VARIABLE;

/// Where it is looked for: init has no PATH.
const FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"];
/// Everything that would join the session to this machine is off.
const ARGUMENTS: [&str; 16] = [
    "--quiet",
    "--config-net",
    "--ipv4-only",
    // The gateway's address would stand for this machine's loopback.
    "--no-map-gw",
    "--no-dhcp",
    "--no-ndp",
    "--no-ra",
    "--no-icmp",
    // Ports that the session binds are not to be bound here, nor this machine's there.
    "-t",
    "none",
    "-u",
    "none",
    "-T",
    "none",
    "-U",
    "none",
];

/// What it makes links with.
const DEVICE: &str = "/dev/net/tun";

/// The program, or what it is that keeps it from being used.
pub(super) fn find() -> Result<PathBuf, String> {
    let program =
        FOLDERS.iter().map(|folder| Path::new(folder).join("pasta")).find(|program| program.is_file());
    let program = program.ok_or("is not installed")?;
    match File::options().read(true).write(true).open(DEVICE) {
        Ok(_) => Ok(program),
        Err(error) => Err(format!("cannot use {DEVICE}: {error}")),
    }
}

/// Joins the namespaces of that process. Returns when the session's link is there; the program goes
/// on in the background, as a child of init, which ends it with everything else; should init be
/// killed, it is found by the incarnation's folder.
pub(super) fn join(program: &Path, folder: &Path, session: Pid) -> io::Result<()> {
    let namespace = |kind: &str| format!("/proc/{session}/ns/{kind}");
    let output = Command::new(program)
        .args(ARGUMENTS)
        .args(["--userns", &namespace("user"), "--netns", &namespace("net")])
        .env_clear()
        .env(SANDBOX_VARIABLE, folder)
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let signal = output.status.signal().map(|signal| format!(" (signal {signal})")).unwrap_or_default();
    Err(io::Error::other(format!("pasta failed{signal}: {}", said.lines().last().unwrap_or_default())))
}
