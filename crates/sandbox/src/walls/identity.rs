//! Who an agent is.
//!
//! Inside, always the same user. Outside, an unprivileged host can lend an agent no id but its own;
//! root lends each incarnation an id that nobody else on the machine has, so that whatever an agent
//! got hold of beyond its walls, a file or a process, would still be somebody else's.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{fs, io};

use nix::sched::CloneFlags;
use nix::sys::prctl::set_dumpable;
use nix::unistd::{Gid, Pid, Uid, getegid, geteuid, seteuid, setgroups, setresgid, setresuid};

use super::privileges;
use super::sys::{self, Cloned};

/// The agent's user and group inside.
pub(crate) const INSIDE: u32 = 1000;
/// The name of both.
pub(crate) const NAME: &str = "agent";

/// The ids that root lends: above those of people and of containers, below those that the kernel
/// takes for negative.
const LENT: std::ops::Range<u32> = 0x7000_0000..0x7FFD_0000;

/// An agent's ids outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    user: Uid,
    group: Gid,
    lent: bool,
}

impl Identity {
    /// One that nobody has had so far. Two that are lent the same by chance, of 268 million, lose nothing
    /// but this one wall between them.
    pub(crate) fn of_nobody() -> Self {
        if geteuid().is_root() && has_all_ids() { Self::lent(fastrand::u32(LENT)) } else { Self::own() }
    }

    /// Whose this is, if it is an incarnation's that has had a life before; else one that nobody has had.
    pub(crate) fn of(path: &Path) -> Self {
        let nobody = Self::of_nobody();
        let owner = fs::symlink_metadata(path).map(|metadata| metadata.uid());
        owner.ok().filter(|id| nobody.lent && LENT.contains(id)).map_or(nobody, Self::lent)
    }

    fn lent(id: u32) -> Self {
        Self { user: Uid::from_raw(id), group: Gid::from_raw(id), lent: true }
    }

    /// Init's own.
    pub(crate) fn own() -> Self {
        Self { user: geteuid(), group: getegid(), lent: false }
    }

    /// Whether it is another than init's own.
    pub(crate) fn is_lent(self) -> bool {
        self.lent
    }

    /// Gives it a file.
    pub(crate) fn give(self, path: &Path) -> io::Result<()> {
        if self.lent {
            std::os::unix::fs::lchown(path, Some(self.user.as_raw()), Some(self.group.as_raw()))
        } else {
            Ok(())
        }
    }

    /// Makes it what [`INSIDE`] is in the user namespace of a process.
    pub(crate) fn map(self, process: Pid) -> io::Result<()> {
        if !self.lent {
            // Else a group map of one's own would be a way to leave groups that forbid something.
            fs::write(format!("/proc/{process}/setgroups"), "deny")?;
        }
        self.map_as(process, (INSIDE, INSIDE))
    }

    /// Makes it what this user and group are in that namespace.
    pub(crate) fn map_as(self, process: Pid, (user, group): (u32, u32)) -> io::Result<()> {
        fs::write(format!("/proc/{process}/uid_map"), format!("{user} {} 1", self.user))?;
        fs::write(format!("/proc/{process}/gid_map"), format!("{group} {} 1", self.group))
    }

    /// Makes a process with new namespaces, which are this user's: the kernel charges what is used in
    /// them, inotify instances for instance, to whoever made them too. Were that root, one session could
    /// use up what there is for all, and for the machine.
    ///
    /// Only for processes with one thread, as [`sys::clone`] is.
    pub(crate) fn clone(self, namespaces: CloneFlags) -> io::Result<Cloned> {
        if !self.lent {
            return sys::clone(namespaces);
        }
        let before = geteuid();
        seteuid(self.user)?;
        // The right to make them is still root's.
        let cloned = privileges::use_all().and_then(|()| sys::clone(namespaces));
        if matches!(cloned, Ok(Cloned::Child)) {
            // Inside, root is nobody to go back to.
            return cloned;
        }
        seteuid(before)?;
        set_dumpable(true)?;
        cloned
    }

    /// Makes the calling process, which is in that namespace, this user.
    pub(crate) fn assume(self) -> io::Result<()> {
        if self.lent {
            setgroups(&[])?;
        }
        let (user, group) = (Uid::from_raw(INSIDE), Gid::from_raw(INSIDE));
        setresgid(group, group, group)?;
        Ok(setresuid(user, user, user)?)
    }
}

// In a container whose root is somebody else's ordinary user, few ids can be lent.
fn has_all_ids() -> bool {
    let all = |file: &str| {
        let map = fs::read_to_string(file).unwrap_or_default();
        map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
    };
    all("/proc/self/uid_map") && all("/proc/self/gid_map")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnations_are_lent_different_ids_and_keep_theirs() {
        if !Identity::of_nobody().is_lent() {
            println!("skipped: only root lends ids");
            return;
        }
        let ids: std::collections::BTreeSet<u32> =
            (0..1000).map(|_| Identity::of_nobody().user.as_raw()).collect();
        assert!(ids.len() >= 999);
        assert!(ids.iter().all(|id| LENT.contains(id)));
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::of(folder.path());
        first.give(folder.path()).unwrap();
        assert_eq!(Identity::of(folder.path()), first);
        assert_ne!(Identity::of(Path::new("/")).user, Uid::from_raw(0));
    }
}
