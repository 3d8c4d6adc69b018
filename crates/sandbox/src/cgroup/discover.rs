//! Where this process's control groups are, from `mountinfo` and `cgroup` of proc(5).

use std::fs;
use std::path::{Path, PathBuf};

use super::CgroupRoots;

/// The groups of the process whose `/proc` folder is given; what cannot be read is absent.
pub(super) fn discover(process: &Path) -> CgroupRoots {
    let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
    let (mounts, groups) = (read("mountinfo"), read("cgroup"));
    CgroupRoots {
        unified: root(&mounts, &groups, None),
        memory: root(&mounts, &groups, Some("memory")),
        pids: root(&mounts, &groups, Some("pids")),
        cpu: root(&mounts, &groups, Some("cpu")),
    }
}

// A controller of version 1, or version 2 when there is none.
fn root(mounts: &str, groups: &str, controller: Option<&str>) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| own_group(line, controller))?;
    mounts.lines().find_map(|line| mounted(line, controller, own))
}

// `4:memory:/a/b`, or `0::/a/b` for version 2.
fn own_group<'a>(line: &'a str, controller: Option<&str>) -> Option<&'a Path> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let matches = match controller {
        Some(controller) => controllers.split(',').any(|name| name == controller),
        None => controllers.is_empty(),
    };
    matches.then_some(Path::new(path))
}

// `36 35 98:0 /root /mount/point rw,noatime master:1 - cgroup cgroup rw,memory`.
fn mounted(line: &str, controller: Option<&str>, own: &Path) -> Option<PathBuf> {
    let (before, after) = line.split_once(" - ")?;
    let (root, point) = (before.split(' ').nth(3)?, before.split(' ').nth(4)?);
    let mut after = after.split(' ');
    let matches = match (controller, after.next()?) {
        (Some(controller), "cgroup") => after.nth(1)?.split(',').any(|option| option == controller),
        (None, "cgroup2") => true,
        _ => false,
    };
    // A container sees only its own part of the hierarchy, mounted as if it were the whole.
    let inside = own.strip_prefix(root).ok().filter(|_| matches)?;
    Some(Path::new(point).join(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovered(mountinfo: &str, cgroup: &str) -> CgroupRoots {
        let process = tempfile::tempdir().unwrap();
        fs::write(process.path().join("mountinfo"), mountinfo).unwrap();
        fs::write(process.path().join("cgroup"), cgroup).unwrap();
        discover(process.path())
    }

    #[test]
    fn version_1_has_a_hierarchy_a_controller() {
        let found = discovered(
            "30 1 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             31 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             32 1 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n",
            "5:memory:/a/b\n3:cpu,cpuacct:/\n0::/\n",
        );
        assert_eq!(found.memory, Some("/sys/fs/cgroup/memory/a/b".into()));
        assert_eq!(found.cpu, Some("/sys/fs/cgroup/cpu,cpuacct/".into()));
        assert_eq!(found.pids, None);
        assert_eq!(found.unified, Some("/sys/fs/cgroup/unified/".into()));
    }

    #[test]
    fn version_2_is_one_hierarchy() {
        let mounts = "32 1 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let found = discovered(mounts, "0::/user.slice/agents.service\n");
        let unified = Some("/sys/fs/cgroup/user.slice/agents.service".into());
        assert_eq!(found, CgroupRoots { unified, ..CgroupRoots::default() });
    }

    #[test]
    fn a_container_sees_its_own_part() {
        let mounts = "32 1 0:28 /docker/1f /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n";
        let found = discovered(mounts, "7:pids:/docker/1f\n");
        assert_eq!(found.pids, Some("/sys/fs/cgroup/pids/".into()));
        assert_eq!(discovered(mounts, "7:pids:/elsewhere\n").pids, None);
    }

    #[test]
    fn no_control_groups_is_no_error() {
        assert_eq!(discovered("", ""), CgroupRoots::default());
    }
}
