//! What of the machine a root was built of, to find out later whether it is still the same.
//!
//! What is shown of a file or a folder is what was there when it was opened: if another has been put in
//! its place since then, or something is mounted there, a root that is built now would show that.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::build::Trees;
use super::lent::Lender;
use super::plan::Plan;

const MOUNTS: &str = "/proc/self/mountinfo";
/// Which of the fields of its lines says where.
const PLACE: usize = 4;

/// What was shown, and where.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The kernel tells those who have it open of changes.
    mounts: File,
    /// The mounts that what is shown is in, or that are in it, as the kernel describes them.
    mounted: Vec<String>,
    shown: Vec<(PathBuf, Mark)>,
}

/// What tells a file or a folder from every other, while it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
}

impl Snapshot {
    /// Takes hold of what a plan shows, as [`Plan::open`] does, and remembers what that is.
    pub(crate) fn open(plan: &Plan, lender: &mut Lender) -> io::Result<(Self, Trees)> {
        // First: what is mounted after it has been looked at is news.
        let mut mounts = File::open(MOUNTS)?;
        let text = read_again(&mut mounts)?;
        let trees = plan.open(Some(lender))?;
        let mut shown = Vec::new();
        for (entry, tree) in plan.entries.iter().zip(&trees) {
            let Some(tree) = tree else { continue };
            let mark = Mark::of(&File::from(tree.try_clone()?).metadata()?);
            shown.push((entry.at.clone(), mark));
        }
        let mounted = around(&text, &shown);
        Ok((Self { mounts, mounted, shown }, trees))
    }

    /// Whether the same would be shown now.
    pub(crate) fn is_true(&mut self) -> bool {
        let is_there = |(path, mark): &(PathBuf, Mark)| {
            fs::metadata(path).is_ok_and(|metadata| Mark::of(&metadata) == *mark)
        };
        self.shown.iter().all(is_there) && self.is_mounted_as_before()
    }

    fn is_mounted_as_before(&mut self) -> bool {
        let mut watched = [PollFd::new(self.mounts.as_fd(), PollFlags::POLLPRI)];
        // Most of what is mounted on a machine is mounted elsewhere.
        match poll(&mut watched, PollTimeout::ZERO) {
            Ok(0) => true,
            _ => read_again(&mut self.mounts).is_ok_and(|text| around(&text, &self.shown) == self.mounted),
        }
    }
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

fn read_again(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn around(mounts: &str, shown: &[(PathBuf, Mark)]) -> Vec<String> {
    let place = |line: &str| line.split(' ').nth(PLACE).map(PathBuf::from);
    let is_shown = |at: &Path| shown.iter().any(|(path, _)| at.starts_with(path) || path.starts_with(at));
    mounts.lines().filter(|line| place(line).is_some_and(|at| is_shown(&at))).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_compared_where_something_is_shown() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda rw\n\
                      23 22 0:5 / /usr/local rw - tmpfs tmpfs rw\n\
                      24 22 0:6 / /usrs rw - tmpfs tmpfs rw\n\
                      25 22 0:6 / /etc/ssh rw - tmpfs tmpfs rw\n";
        let mark = Mark { device: 1, inode: 2 };
        let found = around(mounts, &[("/usr".into(), mark), ("/etc/hosts".into(), mark)]);
        assert_eq!(found, mounts.lines().take(2).collect::<Vec<_>>());
    }
}
