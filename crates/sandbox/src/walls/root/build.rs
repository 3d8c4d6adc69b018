//! Putting a root together, by the inner process.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use super::lent::Lender;
use super::plan::{Bind, Entry, Plan, What};
use crate::walls::sys::{
    MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MountAttributes,
    make_read_only, move_mount, open_tree, set_tree_attributes,
};

/// Where the new root is put together, in the inner process's own view; any folder would do.
const SITE: &str = "/tmp";
/// What of `/proc` tells of the machine or lets change it.
const HIDDEN_IN_PROC: [&str; 9] = ["acpi", "asound", "bus", "fs", "irq", "scsi", "sysvipc", "driver", "tty"];
const EMPTY_IN_PROC: [&str; 10] = [
    "kcore",
    "keys",
    "key-users",
    "kallsyms",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "timer_list",
    "sysrq-trigger",
    "interrupts",
];

/// For this many bytes of memory there may be one file in it.
const BYTES_PER_FILE: u64 = 16 << 10;
/// With however little memory.
const FEWEST_FILES: u64 = 1_024;

/// What a plan shows of the machine, one for each entry that is bound.
pub(crate) type Trees = Vec<Option<OwnedFd>>;

impl Plan {
    /// Takes hold of what is shown. The lender is the one of who will read it, if not who calls this.
    pub(crate) fn open(&self, mut lender: Option<&mut Lender>) -> io::Result<Trees> {
        self.entries.iter().map(|entry| entry.open(lender.as_deref_mut())).collect()
    }

    /// Builds the root and goes there. Something may still be [added](Plan::add_to_root) to it.
    pub(crate) fn build(&self, trees: &Trees) -> io::Result<()> {
        let nothing = None::<&str>;
        // Nothing that is mounted from now on is seen outside, and the other way round.
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
        mount_memory(Path::new(SITE), "mode=0755,size=1m", MsFlags::empty())?;
        chdir(SITE)?;
        self.place(trees)?;
        mount_terminals()?;
        mount_proc(&inside(Path::new("/proc")))?;
        pivot_root(".", ".")?;
        // The old root lies on top of the new one.
        umount2(".", MntFlags::MNT_DETACH)?;
        chdir("/")?;
        Ok(())
    }

    /// Adds this to the root of the calling process, which is inside and has all rights there, and
    /// makes that root read-only: nothing comes after it.
    pub(crate) fn add_to_root(&self, trees: &Trees) -> io::Result<()> {
        chdir("/")?;
        self.place(trees)?;
        make_read_only(Path::new("."))
    }

    // In the working folder, which is the root, or is going to be.
    fn place(&self, trees: &Trees) -> io::Result<()> {
        // Links last: before this is the root, an absolute one would lead out of it.
        let is_link = |entry: &Entry| matches!(entry.what, What::Link(_));
        let (links, others): (Vec<_>, Vec<_>) =
            self.entries.iter().zip(trees).partition(|(entry, _)| is_link(entry));
        for (entry, tree) in others.into_iter().chain(links) {
            entry.place(tree.as_ref()).map_err(|error| named(&entry.at, error))?;
        }
        for hidden in self.entries.iter().filter(|entry| entry.what == What::Hidden) {
            make_read_only(&inside(&hidden.at))?;
        }
        Ok(())
    }
}

impl Entry {
    fn open(&self, lender: Option<&mut Lender>) -> io::Result<Option<OwnedFd>> {
        let What::Bind(bind) = self.what else { return Ok(None) };
        let open = || {
            let tree = open_tree(&self.at)?;
            match lender {
                Some(lender) if bind == Bind::Lent => {
                    lender.lend(tree.as_fd(), &self.at, bind.attributes())?;
                }
                _ => set_tree_attributes(tree.as_fd(), &bind.attributes())?,
            }
            Ok(Some(tree))
        };
        open().map_err(|error| named(&self.at, error))
    }

    fn place(&self, tree: Option<&OwnedFd>) -> io::Result<()> {
        let at = inside(&self.at);
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent)?;
        }
        match &self.what {
            What::Bind(_) => match tree {
                Some(tree) => attach(tree.as_fd(), &at),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            What::Link(to) => match symlink(to, at) {
                // Something was put where it would lead.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            },
            What::Folder => fs::create_dir_all(at),
            What::File(text) => fs::write(at, text),
            What::Memory { bytes } => {
                fs::create_dir_all(&at)?;
                // Else each empty file would take memory that no bound counts.
                let files = (bytes / BYTES_PER_FILE).max(FEWEST_FILES);
                let options = format!("mode=1777,size={bytes},nr_inodes={files}");
                mount_memory(&at, &options, MsFlags::empty())
            }
            What::Hidden => mount_memory(&at, "mode=0755,size=64k", MsFlags::MS_NOEXEC),
        }
    }
}

impl Bind {
    fn attributes(self) -> MountAttributes {
        let set = match self {
            Self::ReadOnly | Self::Lent => MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
            Self::ReadWrite => MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
            Self::Device => MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
        };
        let propagation = MsFlags::MS_PRIVATE.bits();
        MountAttributes { set, propagation, ..MountAttributes::default() }
    }
}

/// The `/proc` of the process namespace, where the mount wall is not wanted.
pub(crate) fn mount_proc_alone() -> io::Result<()> {
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    mount_fresh_proc(Path::new("/proc"))
}

fn mount_proc(at: &Path) -> io::Result<()> {
    mount_fresh_proc(at)?;
    let empty_file = inside(Path::new("/dev/null"));
    let empty_folder = inside(Path::new("/run"));
    for (names, empty) in [(&EMPTY_IN_PROC[..], &empty_file), (&HIDDEN_IN_PROC[..], &empty_folder)] {
        for path in names.iter().map(|name| at.join(name)).filter(|path| path.exists()) {
            cover(&path, empty)?;
        }
    }
    cover(&at.join("sys"), &at.join("sys"))
}

fn mount_fresh_proc(at: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), at, Some("proc"), flags, None::<&str>)?)
}

// Puts `what`, read-only, over `path`.
fn cover(path: &Path, what: &Path) -> io::Result<()> {
    let tree = open_tree(what)?;
    let set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    set_tree_attributes(tree.as_fd(), &MountAttributes { set, ..MountAttributes::default() })?;
    move_mount(tree.as_fd(), path)
}

fn mount_terminals() -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let options = Some("newinstance,ptmxmode=0666,mode=0620");
    Ok(mount(Some("devpts"), &inside(Path::new("/dev/pts")), Some("devpts"), flags, options)?)
}

fn mount_memory(at: &Path, options: &str, flags: MsFlags) -> io::Result<()> {
    let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options))?)
}

fn attach(tree: BorrowedFd<'_>, at: &Path) -> io::Result<()> {
    if !at.exists() {
        if File::from(tree.try_clone_to_owned()?).metadata()?.is_dir() {
            fs::create_dir_all(at)?;
        } else {
            File::create(at)?;
        }
    }
    move_mount(tree, at)
}

// A path of the new root, as it is found from the site.
fn inside(path: &Path) -> PathBuf {
    Path::new(".").join(path.strip_prefix("/").unwrap_or(path))
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
