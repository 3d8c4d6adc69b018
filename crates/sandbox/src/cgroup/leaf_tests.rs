use tempfile::TempDir;

use super::*;
use crate::cgroup::EnforceableLimits;

const LIMITS: ResourceLimits = ResourceLimits {
    memory_bytes: Some(1 << 20),
    processes: Some(7),
    cpus: Some(1.5),
    log_bytes: None,
    disk_bytes: None,
};

fn unified(controllers: &str, enabled: &str) -> (TempDir, CgroupRoots) {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("cgroup.controllers"), controllers).unwrap();
    fs::write(root.path().join("cgroup.subtree_control"), enabled).unwrap();
    let roots = CgroupRoots { unified: Some(root.path().into()), ..CgroupRoots::default() };
    (root, roots)
}

fn bounded(roots: &CgroupRoots, limits: &ResourceLimits) -> Leaf {
    let mut leaf = Leaf::reserve(roots);
    leaf.bound(roots, "agentcore-1f", limits, 2).unwrap();
    leaf
}

fn only(leaf: &Leaf) -> PathBuf {
    let groups: Vec<_> = leaf.paths().collect();
    let [group] = *groups else { panic!("one group, not {groups:?}") };
    group.to_owned()
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn version_2_gets_one_group_with_every_limit() {
    let (_root, roots) = unified("cpu memory pids", "cpu memory pids");
    let leaf = bounded(&roots, &LIMITS);
    let group = only(&leaf);
    assert_eq!(read(group.join("memory.max")), "1048576");
    assert_eq!(read(group.join("pids.max")), "7");
    assert_eq!(read(group.join("cpu.max")), "150000 100000");
}

#[test]
fn version_1_gets_a_group_a_controller() {
    let root = tempfile::tempdir().unwrap();
    let below = |name: &str| {
        fs::create_dir(root.path().join(name)).unwrap();
        Some(root.path().join(name))
    };
    let roots =
        CgroupRoots { unified: None, memory: below("memory"), pids: below("pids"), cpu: below("cpu") };
    let leaf = bounded(&roots, &LIMITS);
    let groups: Vec<_> = leaf.paths().map(ToOwned::to_owned).collect();
    let [memory, processes, cpu] = &*groups else { panic!("three groups, not {groups:?}") };
    assert_eq!(read(memory.join("memory.limit_in_bytes")), "1048576");
    // Two of our own are among them.
    assert_eq!(read(processes.join("pids.max")), "9");
    assert_eq!(cpu, &root.path().join("cpu/agentcore-1f"));
    assert!(groups.iter().all(|group| read(group.join("cgroup.procs")) == "0"));
    assert_eq!(read(root.path().join("cpu/agentcore-1f/cpu.cfs_period_us")), "100000");
    assert_eq!(read(root.path().join("cpu/agentcore-1f/cpu.cfs_quota_us")), "150000");
}

#[test]
fn no_two_inits_share_a_group() {
    let root = tempfile::tempdir().unwrap();
    let roots = CgroupRoots { pids: Some(root.path().into()), ..CgroupRoots::default() };
    // Of one process here, as of two with one number over the years.
    assert_ne!(only(&Leaf::reserve(&roots)), only(&Leaf::reserve(&roots)));
}

#[test]
fn who_leaves_goes_back_to_where_it_came_from() {
    let root = tempfile::tempdir().unwrap();
    let roots = CgroupRoots { pids: Some(root.path().into()), ..CgroupRoots::default() };
    let leaf = Leaf::reserve(&roots);
    // Unlike the kernel, a folder is removed only when nothing is in it.
    fs::remove_file(only(&leaf).join("cgroup.procs")).unwrap();
    leaf.leave();
    assert_eq!(read(root.path().join("cgroup.procs")), "0");
    assert!(!only(&leaf).exists());
}

#[test]
fn a_controller_that_is_not_yet_offered_is_enabled() {
    let (root, roots) = unified("memory", "");
    assert!(roots.enforceable().memory);
    assert!(!roots.enforceable().processes);
    assert_eq!(read(root.path().join("cgroup.subtree_control")), "+memory");
}

#[test]
fn a_group_that_others_are_in_is_not_divided() {
    let (root, roots) = unified("cpu memory pids", "");
    fs::write(root.path().join("cgroup.type"), "domain\n").unwrap();
    fs::write(root.path().join("cgroup.procs"), "1\n").unwrap();
    let EnforceableLimits { memory, processes, cpus } = roots.enforceable();
    assert!(!memory && !processes && !cpus);
    assert_eq!(bounded(&roots, &LIMITS), Leaf::default());
    assert_eq!(read(root.path().join("cgroup.subtree_control")), "");
}

#[test]
fn no_limits_need_no_group() {
    let (_root, roots) = unified("cpu memory pids", "cpu memory pids");
    let leaf = bounded(&roots, &ResourceLimits::default());
    assert_eq!(leaf, Leaf::default());
}

#[test]
fn limits_without_a_hierarchy_are_left_out() {
    let leaf = bounded(&CgroupRoots::default(), &LIMITS);
    assert_eq!(leaf, Leaf::default());
    let (_root, roots) = unified("hugetlb", "");
    assert_eq!(bounded(&roots, &LIMITS), Leaf::default());
}

#[test]
fn running_out_of_memory_is_read_from_either_version() {
    let group = tempfile::tempdir().unwrap();
    let leaf = Leaf::existing(vec![group.path().into()]);
    assert!(!leaf.ran_out_of_memory());
    fs::write(group.path().join("memory.events"), "low 0\noom 1\noom_kill 0\n").unwrap();
    assert!(!leaf.ran_out_of_memory());
    fs::write(group.path().join("memory.events"), "low 0\noom 1\noom_kill 2\n").unwrap();
    assert!(leaf.ran_out_of_memory());
    fs::remove_file(group.path().join("memory.events")).unwrap();
    fs::write(group.path().join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
        .unwrap();
    assert!(leaf.ran_out_of_memory());
}

#[test]
fn those_inside_are_listed_once() {
    let group = tempfile::tempdir().unwrap();
    fs::write(group.path().join("cgroup.procs"), "12\n7\n").unwrap();
    let leaf = Leaf::existing(vec![group.path().into(), group.path().into()]);
    assert_eq!(leaf.processes(), [7, 12]);
}
