//! The groups of one sandbox.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{CgroupRoots, settle};
use crate::ResourceLimits;

/// The period that processor time is counted in, in microseconds: the kernel's own default.
const CPU_PERIOD: u64 = 100_000;

/// The groups that hold one sandbox, one a hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Leaf {
    groups: Vec<PathBuf>,
}

/// The way into the groups of a sandbox.
#[derive(Debug)]
pub(crate) struct Entrance(Vec<File>);

impl Entrance {
    /// Moves the calling process in.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|mut group| group.write_all(b"0"))
    }
}

impl Leaf {
    /// Makes the groups that these limits need. Limits for which there is no hierarchy are left
    /// out.
    pub(crate) fn make(roots: &CgroupRoots, name: &str, limits: &ResourceLimits) -> io::Result<Self> {
        let mut leaf = Self::default();
        match leaf.fill(roots, name, limits) {
            Ok(()) => Ok(leaf),
            Err(error) => {
                leaf.remove();
                Err(error)
            }
        }
    }

    /// The groups that an earlier [`make`](Self::make) made.
    pub(crate) fn existing(groups: Vec<PathBuf>) -> Self {
        Self { groups }
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.groups
    }

    /// The way in, for a process that will not find the groups by their paths.
    pub(crate) fn entrance(&self) -> io::Result<Entrance> {
        let open = |group: &PathBuf| File::options().write(true).open(group.join("cgroup.procs"));
        self.groups.iter().map(open).collect::<io::Result<_>>().map(Entrance)
    }

    /// Kills everything inside at once, where the kernel can. A process that forks faster than
    /// one can look is caught by this alone.
    pub(crate) fn kill(&self) {
        for group in &self.groups {
            let kill = group.join("cgroup.kill");
            if kill.exists() {
                // A group that has gone has nothing left to kill.
                let _ = fs::write(kill, "1");
            }
        }
    }

    /// The processes inside.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let lists =
            self.groups.iter().filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok());
        let mut pids: Vec<i32> = lists.flat_map(|list| parse_pids(&list)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Whether the kernel killed something inside for its use of memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        // Version 2 keeps the count in the first, version 1 in the second.
        let files = ["memory.events", "memory.oom_control"];
        let mut paths = self.groups.iter().flat_map(|group| files.map(|file| group.join(file)));
        paths.any(|path| fs::read_to_string(path).is_ok_and(|text| field(&text, "oom_kill") > 0))
    }

    /// Removes the groups, which must be empty.
    pub(crate) fn remove(&self) {
        for group in &self.groups {
            // A group that is left over costs little, and there is nobody to tell.
            let _ = fs::remove_dir(group);
        }
    }

    fn fill(&mut self, roots: &CgroupRoots, name: &str, limits: &ResourceLimits) -> io::Result<()> {
        let values = [
            Setting::memory(limits, roots.memory.is_some()),
            Setting::processes(limits),
            Setting::cpus(limits, roots.cpu.is_some()),
        ];
        let separate = [&roots.memory, &roots.pids, &roots.cpu];
        for (setting, separate) in values.into_iter().zip(separate) {
            let Some(setting) = setting else { continue };
            let Some(root) = separate.as_ref().or(roots.unified.as_ref()) else { continue };
            if separate.is_none() && enable(root, setting.controller).is_err() {
                continue;
            }
            let group = self.group(root, name)?;
            setting.write(&group)?;
        }
        Ok(())
    }

    fn group(&mut self, root: &Path, name: &str) -> io::Result<PathBuf> {
        let group = root.join(name);
        if !self.groups.contains(&group) {
            match fs::create_dir(&group) {
                // Left over from a start that was cut short: its limits are written anew.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => self.groups.push(group.clone()),
            }
        }
        Ok(group)
    }
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

    fn processes(limits: &ResourceLimits) -> Option<Self> {
        let required = vec![("pids.max", limits.processes?.to_string())];
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
