//! The groups of one sandbox.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{CgroupRoots, settle};
use crate::ResourceLimits;

/// The period that processor time is counted in, in microseconds: the kernel's own default.
const CPU_PERIOD: u64 = 100_000;
/// Names of groups that are tried: others that were called after a process with our number may be left.
const NAMES: u32 = 100;

/// The groups that hold one sandbox, one a hierarchy.
///
/// To move a process makes the kernel wait until it knows that no other is just being born or ending,
/// some ten milliseconds. So with version 1 it is init that moves, before anybody waits for it, and what
/// it starts is born in its groups. With version 2 programs are born in a group that init is not in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Leaf {
    groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    path: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    // Init is in it.
    One,
    Two,
}

impl Leaf {
    /// Takes this process, an init that has nothing to start yet, into groups of its own wherever that
    /// takes time. What fails here is tried again, and told, when there are limits to set.
    pub(crate) fn reserve(roots: &CgroupRoots) -> Self {
        let mut leaf = Self::default();
        for root in [&roots.memory, &roots.pids].into_iter().flatten() {
            let _ = unused(root).and_then(|path| leaf.inhabit(path));
        }
        leaf
    }

    /// Sets these limits, for `limits.processes` beside `ours` of our own, in groups that are made where
    /// they are not there yet. Limits for which there is no hierarchy are left out.
    pub(crate) fn bound(
        &mut self,
        roots: &CgroupRoots,
        name: &str,
        limits: &ResourceLimits,
        ours: u64,
    ) -> io::Result<()> {
        let values = [
            Setting::memory(limits, roots.memory.is_some()),
            Setting::processes(limits, if roots.pids.is_some() { ours } else { 0 }),
            Setting::cpus(limits, roots.cpu.is_some()),
        ];
        let separate = [&roots.memory, &roots.pids, &roots.cpu];
        for (setting, separate) in values.into_iter().zip(separate) {
            let Some(setting) = setting else { continue };
            let group = match (separate, &roots.unified) {
                (Some(root), _) => self.of_version_1(root, name)?,
                (None, Some(root)) if enable(root, setting.controller).is_ok() => {
                    self.of_version_2(root, name)?
                }
                _ => continue,
            };
            setting.write(&group)?;
        }
        Ok(())
    }

    /// The groups that an earlier init made.
    pub(crate) fn existing(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        // Nobody enters them any more.
        let groups = paths.into_iter().map(|path| Group { path, version: Version::One });
        Self { groups: groups.collect() }
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.groups.iter().map(|group| &*group.path)
    }

    /// Whether this process counts itself among those whose memory is bounded.
    pub(crate) fn shares_memory(&self) -> bool {
        let is_bounded = |group: &Group| group.path.join("memory.limit_in_bytes").exists();
        self.groups.iter().any(is_bounded)
    }

    /// The group of version 2, for a program to be born in from where it is not found by its path.
    pub(crate) fn birthplace(&self) -> io::Result<Option<File>> {
        self.of_programs().map(File::open).transpose()
    }

    /// Moves the calling process, a program that was born elsewhere, into the group of version 2.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.of_programs().map_or(Ok(()), enter)
    }

    fn of_programs(&self) -> Option<&Path> {
        self.groups.iter().find(|group| group.version == Version::Two).map(|group| &*group.path)
    }

    /// Kills everything inside at once, where the kernel can. A process that forks faster than
    /// one can look is caught by this alone.
    pub(crate) fn kill(&self) {
        for group in self.paths() {
            let kill = group.join("cgroup.kill");
            if kill.exists() {
                // A group that has gone has nothing left to kill.
                let _ = fs::write(kill, "1");
            }
        }
    }

    /// The processes inside.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let lists = self.paths().filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok());
        let mut pids: Vec<i32> = lists.flat_map(|list| parse_pids(&list)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Whether the kernel killed something inside for its use of memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        // Version 2 keeps the count in the first, version 1 in the second.
        let files = ["memory.events", "memory.oom_control"];
        let mut paths = self.paths().flat_map(|group| files.map(|file| group.join(file)));
        paths.any(|path| fs::read_to_string(path).is_ok_and(|text| field(&text, "oom_kill") > 0))
    }

    /// Removes the groups, which must be empty.
    pub(crate) fn remove(&self) {
        for group in self.paths() {
            // A group that is left over costs little, and there is nobody to tell.
            let _ = fs::remove_dir(group);
        }
    }

    /// Takes this process out again, and removes the groups.
    pub(crate) fn leave(&self) {
        let of_version_1 = self.groups.iter().filter(|group| group.version == Version::One);
        for above in of_version_1.filter_map(|group| group.path.parent()) {
            let _ = enter(above);
        }
        self.remove();
    }

    fn of_version_1(&mut self, root: &Path, name: &str) -> io::Result<PathBuf> {
        if let Some(group) = self.paths().find(|group| group.parent() == Some(root)) {
            return Ok(group.to_owned());
        }
        let path = made(root.join(name))?;
        self.inhabit(path.clone())?;
        Ok(path)
    }

    fn of_version_2(&mut self, root: &Path, name: &str) -> io::Result<PathBuf> {
        let path = root.join(name);
        if !self.paths().any(|group| group == path) {
            self.groups.push(Group { path: made(path.clone())?, version: Version::Two });
        }
        Ok(path)
    }

    // Moves this process into a group that has just been made.
    fn inhabit(&mut self, path: PathBuf) -> io::Result<()> {
        if let Err(error) = enter(&path) {
            let _ = fs::remove_dir(&path);
            return Err(error);
        }
        self.groups.push(Group { path, version: Version::One });
        Ok(())
    }
}

fn enter(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), "0")
}

fn made(group: PathBuf) -> io::Result<PathBuf> {
    match fs::create_dir(&group) {
        // Left over from a start that was cut short: its limits are written anew.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(group),
    }
}

// Makes a group that nobody had before, since limits are set later that an older one may have set
// otherwise.
fn unused(root: &Path) -> io::Result<PathBuf> {
    let process = std::process::id();
    for attempt in 0..NAMES {
        let group = root.join(format!("agentcore-init-{process}-{attempt}"));
        match fs::create_dir(&group) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| group),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Offers a controller of version 2 to the groups below `root`.
pub(super) fn enable(root: &Path, controller: &str) -> io::Result<()> {
    if settle::is_inhabited(root) {
        // The kernel refuses it for some controllers (EBUSY). With the others, it is the groups below
        // that nobody could enter.
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let enabled = fs::read_to_string(root.join("cgroup.subtree_control"))?;
    if enabled.split_ascii_whitespace().any(|name| name == controller) {
        return Ok(());
    }
    if !settle::has_controller(root, controller) {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no controller {controller}")));
    }
    fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"))
}

/// One limit as files and what to write into them.
struct Setting {
    controller: &'static str,
    required: Vec<(&'static str, String)>,
    // Not there on every kernel.
    optional: Vec<(&'static str, String)>,
}

impl Setting {
    fn memory(limits: &ResourceLimits, version_1: bool) -> Option<Self> {
        let bytes = limits.memory_bytes?.to_string();
        // Without a bound on swap a memory limit only makes the machine slow.
        let (required, optional) = if version_1 {
            (vec![("memory.limit_in_bytes", bytes.clone())], vec![("memory.memsw.limit_in_bytes", bytes)])
        } else {
            (vec![("memory.max", bytes)], vec![("memory.swap.max", "0".to_owned())])
        };
        Some(Self { controller: "memory", required, optional })
    }

    fn processes(limits: &ResourceLimits, ours: u64) -> Option<Self> {
        let required = vec![("pids.max", limits.processes?.saturating_add(ours).to_string())];
        Some(Self { controller: "pids", required, optional: Vec::new() })
    }

    fn cpus(limits: &ResourceLimits, version_1: bool) -> Option<Self> {
        // The kernel takes no less than a hundredth of a processor.
        let quota = (limits.cpus?.max(0.01) * CPU_PERIOD as f64) as u64;
        let required = if version_1 {
            vec![("cpu.cfs_period_us", CPU_PERIOD.to_string()), ("cpu.cfs_quota_us", quota.to_string())]
        } else {
            vec![("cpu.max", format!("{quota} {CPU_PERIOD}"))]
        };
        Some(Self { controller: "cpu", required, optional: Vec::new() })
    }

    fn write(&self, group: &Path) -> io::Result<()> {
        for (file, value) in &self.required {
            fs::write(group.join(file), value)?;
        }
        for (file, value) in &self.optional {
            let path = group.join(file);
            if path.exists() {
                let _ = fs::write(path, value);
            }
        }
        Ok(())
    }
}

fn parse_pids(list: &str) -> Vec<i32> {
    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[path = "leaf_tests.rs"]
mod tests;
