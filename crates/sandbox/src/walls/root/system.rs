//! What every root has: the machine's programs and libraries, and little folders of its own.

use std::fs;
use std::path::Path;

use super::plan::{Bind, Plan, What};
use crate::walls::identity;

/// Programs and libraries: files of the distribution, the same on every machine that has it.
const PROGRAMS: [&str; 9] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"];

/// What programs look up in `/etc`, none of it secret.
const CONFIGURATION: [&str; 27] = [
    // The dynamic linker.
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    // Names and addresses.
    "hosts",
    "host.conf",
    "resolv.conf",
    "nsswitch.conf",
    "gai.conf",
    "services",
    "protocols",
    // Whom to trust.
    "ssl",
    "pki",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    // Time, language, kinds of files.
    "localtime",
    "timezone",
    "locale.conf",
    "mime.types",
    "magic",
    // What system this is.
    "os-release",
    "debian_version",
    "lsb-release",
    // Others that do not start without.
    "fonts",
    "python3",
    "bash.bashrc",
];

/// Devices that do no harm.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What of the kernel's own tree programs read: how many processors there are.
const KERNEL: &str = "/sys/devices/system/cpu";

const MIB: u64 = 1 << 20;
/// What `/tmp` and `/dev/shm` may take if there is no bound on memory.
const LARGEST_TEMPORARY: u64 = 1024 * MIB;
const LARGEST_SHARED: u64 = 256 * MIB;

pub(super) fn add(plan: &mut Plan, memory_bytes: Option<u64>) {
    for path in PROGRAMS {
        show(plan, path);
    }
    for name in CONFIGURATION {
        let path = Path::new("/etc").join(name);
        // Links such as resolv.conf's lead to where nothing else is shown.
        if path.exists() {
            plan.show(&path, Bind::ReadOnly);
        }
    }
    show(plan, KERNEL);
    for device in DEVICES {
        plan.add(Path::new("/dev").join(device), What::Bind(Bind::Device));
    }
    for (at, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        plan.add(Path::new("/dev").join(at), What::Link(to.into()));
    }
    add_own(plan, memory_bytes);
}

fn add_own(plan: &mut Plan, memory_bytes: Option<u64>) {
    // Memory that is written to counts as memory: leave the agent itself some.
    let share = memory_bytes.map_or(u64::MAX, |bytes| bytes / 2);
    plan.add("/tmp", What::Memory { bytes: share.min(LARGEST_TEMPORARY) });
    plan.add("/dev/shm", What::Memory { bytes: share.min(LARGEST_SHARED) });
    plan.add("/var/tmp", What::Link("/tmp".into()));
    plan.add("/var/run", What::Link("/run".into()));
    for folder in ["/proc", "/dev/pts", "/run", "/var/lib", "/var/cache", "/root"] {
        plan.add(folder, What::Folder);
    }
    let (name, id) = (identity::NAME, identity::INSIDE);
    let user = format!("{name}:x:{id}:{id}:{name}:/tmp:/bin/sh\n");
    let nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
    plan.add("/etc/passwd", What::File(format!("root:x:0:0:root:/root:/bin/sh\n{user}{nobody}")));
    plan.add("/etc/group", What::File(format!("root:x:0:\n{name}:x:{id}:\nnogroup:x:65534:\n")));
    plan.add("/etc/hostname", What::File(format!("{name}\n")));
}

/// Shows a folder if there is one; a link to one is one inside, too.
fn show(plan: &mut Plan, path: &str) {
    let path = Path::new(path);
    match fs::read_link(path) {
        Ok(to) => plan.link(path, to),
        Err(_) if path.exists() => drop(plan.show(path, Bind::ReadOnly)),
        Err(_) => {}
    }
}
