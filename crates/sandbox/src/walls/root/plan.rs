//! What is where in an agent's root.

use std::path::{Path, PathBuf};

/// The contents of a root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(super) entries: Vec<Entry>,
    /// Folders of which nothing is shown, whatever names it.
    private: Vec<PathBuf>,
}

/// One thing in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where, an absolute path.
    pub(super) at: PathBuf,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// What is at the same path outside.
    Bind(Bind),
    /// A symbolic link.
    Link(PathBuf),
    /// An empty folder.
    Folder,
    /// A small file.
    File(String),
    /// Memory that may be written to, up to so many bytes.
    Memory { bytes: u64 },
    /// A folder that may neither be looked into nor written to, but for what is put in it here.
    Hidden,
}

/// What an agent may do with something of the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bind {
    /// Read and execute.
    ReadOnly,
    /// The same; it belongs to somebody whose files the agent may read as if they were its own.
    Lent,
    /// Write, too.
    ReadWrite,
    /// Use a device.
    Device,
}

impl Plan {
    pub(super) fn add(&mut self, at: impl Into<PathBuf>, what: What) {
        let at = at.into();
        match self.entries.iter_mut().find(|entry| entry.at == at) {
            // What is said later goes before.
            Some(entry) => entry.what = what,
            None => self.entries.push(Entry { at, what }),
        }
    }

    /// Shows what is at `path` outside, which must not be a link, unless it is shown already or private.
    /// Whether it is seen.
    pub(super) fn show(&mut self, path: &Path, bind: Bind) -> bool {
        if self.is_private(path) {
            return false;
        }
        if !self.shows(path) {
            self.add(path, What::Bind(bind));
        }
        true
    }

    pub(super) fn link(&mut self, at: &Path, to: PathBuf) {
        let is_there = self.shows(at) || self.entries.iter().any(|entry| entry.at == at);
        if !is_there && !self.is_private(at) {
            self.add(at, What::Link(to));
        }
    }

    /// Has nothing shown of a folder from now on.
    pub(super) fn keep_private(&mut self, folder: &Path) {
        self.private.push(folder.canonicalize().unwrap_or_else(|_| folder.to_owned()));
    }

    fn is_private(&self, path: &Path) -> bool {
        self.private.iter().any(|folder| path.starts_with(folder))
    }

    /// Hides the private folders that would be seen, for something around them is shown.
    pub(super) fn hide_private(&mut self) {
        for folder in self.private.clone() {
            if self.shows(&folder) && folder.is_dir() {
                self.add(folder, What::Hidden);
            }
        }
    }

    /// Whether a file, a device or memory of the session's own is to be at `path` or somewhere below it.
    pub(super) fn has_own_at(&self, path: &Path) -> bool {
        let is_own =
            |what: &What| matches!(what, What::File(_) | What::Memory { .. } | What::Bind(Bind::Device));
        self.entries.iter().any(|entry| entry.at.starts_with(path) && is_own(&entry.what))
    }

    /// Whether what is at `path` outside is at the same path inside.
    pub(super) fn shows(&self, path: &Path) -> bool {
        let around = self.entries.iter().filter(|entry| path.starts_with(&entry.at));
        let nearest = around.max_by_key(|entry| entry.at.components().count());
        nearest.is_some_and(|entry| matches!(entry.what, What::Bind(_)))
    }

    /// Puts what is further up first, as it has to be built, and leaves out what is there anyway.
    pub(super) fn put_in_order(&mut self) {
        self.entries.sort_by_key(|entry| entry.at.components().count());
        let mut kept = Self { private: std::mem::take(&mut self.private), ..Self::default() };
        for entry in std::mem::take(&mut self.entries) {
            let is_there = match entry.what {
                // It would be written into the machine's own folder.
                What::Folder | What::File(_) | What::Link(_) => kept.shows(&entry.at),
                What::Bind(Bind::ReadOnly | Bind::Lent) => kept.shows(&entry.at),
                // In something hidden.
                What::Hidden => !kept.shows(&entry.at),
                _ => false,
            };
            if !is_there {
                kept.entries.push(entry);
            }
        }
        *self = kept;
    }

    /// Leaves memory out: how much it may be is for an order to say.
    pub(super) fn without_memory(&mut self) {
        self.entries.retain(|entry| !matches!(entry.what, What::Memory { .. }));
    }

    /// What of this is still to be put into a root in which there is all of `built` already. `None` if
    /// that is not a part of this, or if what is missing belongs around it, or below a link or a file of it.
    pub(crate) fn beyond(&self, built: &Self) -> Option<Self> {
        let mut there = built.entries.iter().peekable();
        // Both are in the same order.
        let is_missing = |entry: &&Entry| there.next_if_eq(entry).is_none();
        let missing: Vec<Entry> = self.entries.iter().filter(is_missing).cloned().collect();
        let is_hindered = |entry: &Entry| built.entries.iter().any(|it| it.hinders(entry));
        let is_part = there.next().is_none();
        (is_part && !missing.iter().any(is_hindered)).then(|| Self { entries: missing, private: Vec::new() })
    }

    /// The paths outside that may be read.
    pub(crate) fn readable(&self) -> Vec<PathBuf> {
        let hidden = self.entries.iter().filter(|entry| entry.what == What::Hidden);
        let shown = |entry: &&Entry| matches!(entry.what, What::Bind(Bind::ReadOnly | Bind::Lent));
        let mut readable: Vec<PathBuf> =
            self.entries.iter().filter(shown).map(|entry| entry.at.clone()).collect();
        for Entry { at, .. } in hidden {
            readable = readable.iter().flat_map(|path| around(path, at)).collect();
        }
        readable
    }
}

impl Entry {
    // Whether `other` cannot come after it.
    fn hinders(&self, other: &Self) -> bool {
        let leads_elsewhere = matches!(self.what, What::Link(_) | What::File(_));
        self.at.starts_with(&other.at) || (leads_elsewhere && other.at.starts_with(&self.at))
    }
}

// A folder, or its contents but for what is `hidden` somewhere below it.
fn around(folder: &Path, hidden: &Path) -> Vec<PathBuf> {
    if !hidden.starts_with(folder) {
        return vec![folder.to_owned()];
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path != hidden).flat_map(|path| around(&path, hidden)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_something_shown_is_shown_unless_it_is_hidden() {
        let mut plan = Plan::default();
        assert!(plan.show(Path::new("/"), Bind::ReadOnly));
        assert!(plan.shows(Path::new("/tmp/a/b")));
        plan.keep_private(Path::new("/tmp"));
        plan.hide_private();
        assert!(!plan.shows(Path::new("/tmp/a/b")) && plan.shows(Path::new("/tmpa")));
        plan.add("/tmp/a", What::Bind(Bind::ReadWrite));
        assert!(plan.shows(Path::new("/tmp/a/b")));
    }

    #[test]
    fn of_a_private_folder_nothing_is_shown_that_is_asked_for() {
        let mut plan = Plan::default();
        plan.keep_private(Path::new("/state"));
        for path in ["/state", "/state/token", "/state/i/1/control.sock"] {
            assert!(!plan.show(Path::new(path), Bind::Lent), "{path}");
        }
        plan.link(Path::new("/state/link"), "token".into());
        assert!(plan.entries.is_empty());
        assert!(plan.show(Path::new("/states"), Bind::Lent));
    }

    #[test]
    fn nothing_is_written_into_what_is_shown_of_the_machine() {
        let mut plan = Plan::default();
        plan.add("/etc/passwd", What::File("root".into()));
        plan.add("/etc/empty", What::Folder);
        plan.add("/etc/mtab", What::Link("/proc/mounts".into()));
        plan.show(Path::new("/etc"), Bind::Lent);
        plan.put_in_order();
        assert_eq!(plan.entries, [Entry { at: "/etc".into(), what: What::Bind(Bind::Lent) }]);
    }

    #[test]
    fn what_is_around_something_is_built_before_it() {
        let mut plan = Plan::default();
        for path in ["/a/b/c", "/a", "/d/e", "/a/b"] {
            plan.add(path, What::Bind(Bind::ReadOnly));
        }
        plan.add("/a/w", What::Bind(Bind::ReadWrite));
        plan.put_in_order();
        let at: Vec<_> = plan.entries.iter().map(|entry| entry.at.to_str().unwrap()).collect();
        assert_eq!(at, ["/a", "/d/e", "/a/w"]);
    }

    fn plan(entries: &[(&str, What)]) -> Plan {
        let mut plan = Plan::default();
        entries.iter().for_each(|(at, what)| plan.add(at, what.clone()));
        plan.put_in_order();
        plan
    }

    #[test]
    fn what_is_missing_in_a_root_is_what_the_plan_has_beyond_it() {
        let shown = || What::Bind(Bind::ReadOnly);
        let built = [("/usr", shown()), ("/etc/hosts", shown()), ("/var/run", What::Link("/run".into()))];
        let memory = ("/tmp", What::Memory { bytes: 1 });
        let all = [built[0].clone(), memory.clone(), built[1].clone(), built[2].clone(), ("/a/b", shown())];
        let missing = plan(&all).beyond(&plan(&built)).unwrap();
        assert_eq!(missing, plan(&[memory, ("/a/b", shown())]));
        assert_eq!(plan(&built).beyond(&plan(&built)), Some(Plan::default()));
    }

    #[test]
    fn a_root_that_has_something_else_or_in_the_way_is_of_no_use() {
        let shown = || What::Bind(Bind::ReadOnly);
        let built = [("/usr", shown()), ("/etc/hosts", shown()), ("/var/run", What::Link("/run".into()))];
        for other in [
            vec![built[0].clone(), built[1].clone()],
            vec![built[0].clone(), ("/etc/hosts", What::File("mine".into())), built[2].clone()],
            [&built[..], &[("/etc", What::Memory { bytes: 1 })]].concat(),
            [&built[..], &[("/var/run/docker", shown())]].concat(),
        ] {
            assert_eq!(plan(&other).beyond(&plan(&built)), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_hidden_is_hidden_once() {
        let mut plan = Plan::default();
        plan.add("/a/state/i", What::Hidden);
        plan.add("/a/state", What::Hidden);
        plan.add("/a", What::Bind(Bind::Lent));
        plan.put_in_order();
        assert_eq!(plan.entries.len(), 2);
    }
}
