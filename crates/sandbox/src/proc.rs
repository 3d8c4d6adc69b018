//! What `/proc` says about processes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::{fs, io};

/// A view of `/proc`; its root is a parameter, so that tests can fake it.
#[derive(Debug, Clone)]
pub(crate) struct Proc {
    root: PathBuf,
}

/// One process's share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Ticks of processor time, those of children that it has waited for included.
    pub(crate) cpu_ticks: u64,
    /// Pages of resident memory.
    pub(crate) resident_pages: u64,
    /// It has ended, and its parent has not yet asked how.
    pub(crate) zombie: bool,
}

impl Proc {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// An id of the current boot of the machine.
    pub(crate) fn boot_id(&self) -> io::Result<String> {
        let id = fs::read_to_string(self.root.join("sys/kernel/random/boot_id"))?;
        Ok(id.trim().to_owned())
    }

    /// Every descendant of a process, parents before children. Processes that come and go
    /// meanwhile may be missed.
    pub(crate) fn descendants(&self, pid: i32) -> Vec<i32> {
        let mut found = self.children(pid);
        let mut next = 0;
        while next < found.len() {
            let below = self.children(found[next]);
            found.extend(below);
            next += 1;
        }
        found
    }

    fn children(&self, pid: i32) -> Vec<i32> {
        let mut children = Vec::new();
        let Ok(threads) = fs::read_dir(self.process(pid).join("task")) else { return children };
        for thread in threads.flatten() {
            if let Ok(text) = fs::read_to_string(thread.path().join("children")) {
                children.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
            }
        }
        children
    }

    /// What a process uses; `None` when there is no such process.
    pub(crate) fn stat(&self, pid: i32) -> Option<Stat> {
        parse_stat(&fs::read_to_string(self.process(pid).join("stat")).ok()?)
    }

    /// Processes whose environment has this variable with this value.
    pub(crate) fn with_variable(&self, name: &str, value: &OsStr) -> Vec<i32> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| self.has_variable(*pid, name, value)).collect()
    }

    /// Whether a process was started with this variable.
    pub(crate) fn has_variable(&self, pid: i32, name: &str, value: &OsStr) -> bool {
        let Ok(environ) = fs::read(self.process(pid).join("environ")) else { return false };
        let wanted = [name.as_bytes(), b"=", value.as_bytes()].concat();
        environ.split(|byte| *byte == 0).any(|variable| variable == wanted)
    }

    /// Whether one of a process's descriptors is the socket with this inode.
    pub(crate) fn holds_socket(&self, pid: i32, inode: u64) -> bool {
        let Ok(descriptors) = fs::read_dir(self.process(pid).join("fd")) else { return false };
        let wanted = PathBuf::from(format!("socket:[{inode}]"));
        descriptors.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == wanted))
    }

    /// A table of the network that this process sees, such as `tcp6`; empty when there is none.
    pub(crate) fn network_table(&self, name: &str) -> String {
        fs::read_to_string(self.root.join("self/net").join(name)).unwrap_or_default()
    }

    fn process(&self, pid: i32) -> PathBuf {
        self.root.join(pid.to_string())
    }
}

impl Default for Proc {
    fn default() -> Self {
        Self::new("/proc")
    }
}

// proc(5). The second field is the program's name in parentheses, which may hold anything,
// parentheses included: what is after the last one counts, and begins with field 3.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let cpu_ticks = (14..=17).map(number).sum::<Option<i64>>()?;
    Some(Stat {
        cpu_ticks: cpu_ticks.try_into().unwrap_or_default(),
        resident_pages: number(24)?.try_into().unwrap_or_default(),
        zombie: fields.first() == Some(&"Z"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let text = "12 (a) b (c)) S 1 12 12 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 7 0 55 1000 250 1844 0";
        let expected = Stat { cpu_ticks: 124, resident_pages: 250, zombie: false };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat("12 (cut"), None);
    }

    #[test]
    fn this_process_is_found() {
        let proc = Proc::default();
        let me = std::process::id() as i32;
        assert!(proc.stat(me).unwrap().resident_pages > 0);
        assert!(!proc.boot_id().unwrap().is_empty());
        assert!(!proc.has_variable(me, "NO_SUCH_VARIABLE", OsStr::new("")));
    }
}
