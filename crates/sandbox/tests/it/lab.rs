//! A machine to try networks on: a network namespace that stands for this machine, and one that
//! stands for everything outside. No packet leaves them.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

/// The machine's address.
pub(crate) const MACHINE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Where the outside answers to each connection with `outside`, on port 80; at the metadata address
/// too.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

const SERVER: &str = "
import socket
door = socket.create_server(('0.0.0.0', 80))
print('serving', flush=True)
while True:
    connection, _ = door.accept()
    connection.sendall(b'outside')
    connection.close()
";

/// Both, until this is dropped.
pub(crate) struct Lab {
    machine: Child,
    outside: Child,
}

impl Lab {
    /// `None` where it cannot be made, which fails in CI.
    pub(crate) fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            return skipped("network namespaces are made as root");
        }
        if !std::path::Path::new("/usr/sbin/ip").exists() && !std::path::Path::new("/sbin/ip").exists() {
            return skipped("there is no program `ip`: install iproute2");
        }
        let machine = hold(&["sleep", "infinity"], Stdio::null());
        let mut outside = hold(&["/usr/bin/python3", "-c", SERVER], Stdio::piped());
        let served = BufReader::new(outside.stdout.take().unwrap());
        let lab = Self { machine, outside };
        lab.lay();
        assert_eq!(served.lines().next().unwrap().unwrap(), "serving");
        Some(lab)
    }

    fn lay(&self) {
        let (machine, outside) = (self.machine.id(), self.outside.id());
        // The namespace is there as soon as the process has its own.
        let own = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        while own(machine) == own(std::process::id()) || own(outside) == own(std::process::id()) {
            std::thread::yield_now();
        }
        ip(machine, &format!("link add up0 type veth peer name up0 netns {outside}"));
        for (pid, address) in [(machine, MACHINE), (outside, OUTSIDE)] {
            ip(pid, "link set lo up");
            ip(pid, &format!("address add {address}/24 dev up0"));
            ip(pid, "link set up0 up");
        }
        ip(machine, &format!("route add default via {OUTSIDE}"));
        ip(outside, "address add 169.254.169.254/32 dev up0");
        ip(outside, &format!("route add default via {MACHINE}"));
    }

    /// Gives the machine one more address.
    pub(crate) fn add_address(&self, address: Ipv4Addr) {
        ip(self.machine.id(), &format!("address add {address}/24 dev up0"));
    }

    /// Takes it away again.
    pub(crate) fn remove_address(&self, address: Ipv4Addr) {
        ip(self.machine.id(), &format!("address del {address}/24 dev up0"));
    }

    /// What to put before a program's name to run it on this machine.
    pub(crate) fn on_machine(&self) -> Vec<OsString> {
        vec![
            "/usr/bin/nsenter".into(),
            format!("--net=/proc/{}/ns/net", self.machine.id()).into(),
            "--".into(),
        ]
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in [&mut self.machine, &mut self.outside] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn hold(program: &[&str], stdout: Stdio) -> Child {
    Command::new("/usr/bin/unshare")
        .arg("--net")
        .args(program)
        .stdin(Stdio::null())
        .stdout(stdout)
        .spawn()
        .unwrap()
}

fn ip(pid: u32, arguments: &str) {
    let net = format!("--net=/proc/{pid}/ns/net");
    let status =
        Command::new("/usr/bin/nsenter").args([&net, "ip"]).args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Says why a test is left out. In CI nothing is.
pub(crate) fn skipped<T>(reason: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    println!("skipped: {reason}");
    None
}
