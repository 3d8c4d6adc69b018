//! The host's own place in version 2.
//!
//! There, a group that gives its controllers to groups below it may hold no processes itself. So a
//! host that is alone in its group moves to one below it, beside those of its sessions. One that is
//! not, in a shell's group for instance, has no right to move its neighbours, and sets no limits.

use std::fs;
use std::path::{Path, PathBuf};

/// The group below its own that a host moves to.
const HOST: &str = "host";
/// What sessions are limited by.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Makes room for groups of sessions, where the process `host` is in the group `own`. The group to
/// make them in; it is as inhabited as before where that cannot be helped.
pub(super) fn settle(own: &Path, host: u32) -> PathBuf {
    let above = own.parent().filter(|_| own.ends_with(HOST));
    if let Some(above) = above.filter(|above| above.join("cgroup.procs").exists() && !is_inhabited(above)) {
        // It has been moved before, by an earlier host or by systemd (DelegateSubgroup=host).
        return above.to_owned();
    }
    if is_inhabited(own) && is_alone(own, host) && CONTROLLERS.iter().any(|it| has_controller(own, it)) {
        let group = own.join(HOST);
        // It may be there already. What fails shows as a group that is still inhabited.
        let _ = fs::create_dir(&group);
        let _ = fs::write(group.join("cgroup.procs"), host.to_string());
    }
    own.to_owned()
}

/// Whether processes in this group forbid to give its controllers to others. They never do in the
/// machine's root, the only one without a type.
pub(super) fn is_inhabited(group: &Path) -> bool {
    group.join("cgroup.type").exists() && !processes(group).trim().is_empty()
}

/// Whether no other process is in this group.
pub(super) fn is_alone(group: &Path, process: u32) -> bool {
    processes(group).trim() == process.to_string()
}

/// Whether a group has this controller to give.
pub(super) fn has_controller(group: &Path, controller: &str) -> bool {
    let all = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    all.split_ascii_whitespace().any(|name| name == controller)
}

fn processes(group: &Path) -> String {
    fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(processes: &str) -> tempfile::TempDir {
        let group = tempfile::tempdir().unwrap();
        make(group.path(), processes);
        group
    }

    fn make(group: &Path, processes: &str) {
        fs::create_dir_all(group).unwrap();
        fs::write(group.join("cgroup.type"), "domain\n").unwrap();
        fs::write(group.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        fs::write(group.join("cgroup.procs"), processes).unwrap();
    }

    #[test]
    fn a_host_that_is_alone_moves_below_its_group() {
        let own = group("77\n");
        assert_eq!(settle(own.path(), 77), own.path());
        assert_eq!(fs::read_to_string(own.path().join("host/cgroup.procs")).unwrap(), "77");
    }

    #[test]
    fn nobody_moves_a_hosts_neighbours() {
        let own = group("70\n77\n");
        assert_eq!(settle(own.path(), 77), own.path());
        assert!(!own.path().join("host").exists());
    }

    #[test]
    fn a_host_that_has_moved_before_stays() {
        let above = group("");
        let own = above.path().join("host");
        make(&own, "77\n");
        assert_eq!(settle(&own, 77), above.path());
        assert!(!own.join("host").exists());
    }

    #[test]
    fn without_anything_to_divide_it_stays_where_it_is() {
        let own = group("77\n");
        fs::write(own.path().join("cgroup.controllers"), "hugetlb\n").unwrap();
        settle(own.path(), 77);
        assert!(!own.path().join("host").exists());
    }
}
