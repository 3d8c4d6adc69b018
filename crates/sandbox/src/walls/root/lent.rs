//! Files of other users, as if they were the agent's.
//!
//! Under root an agent is somebody whom nobody knows, and code is often its author's alone to read.
//! An id-mapped mount shows its owner's files as the agent's. It is read-only all the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, pause};

use crate::walls::identity::Identity;
use crate::walls::sys::{self, Cloned, MOUNT_ATTR_IDMAP, MountAttributes, set_tree_attributes};

/// Whose most code is that is not its agent's, where agents have ids of their own.
const ROOT: (u32, u32) = (0, 0);

/// Mappings of owners to one agent.
#[derive(Debug)]
pub(crate) struct Lender {
    to: Identity,
    // A mapping is a user namespace.
    mappings: BTreeMap<(u32, u32), File>,
}

impl Lender {
    pub(crate) fn new(to: Identity) -> Self {
        Self { to, mappings: BTreeMap::new() }
    }

    /// The same, with what it will most probably need at hand.
    pub(crate) fn ready(to: Identity) -> io::Result<Self> {
        let (mapping, holder) = user_namespace(ROOT, to)?;
        waitpid(holder, None)?;
        Ok(Self { to, mappings: BTreeMap::from([(ROOT, mapping)]) })
    }

    /// Sets a tree's attributes, and maps the owner of what is at `path` to the agent, where its file
    /// system can do that. Where it cannot, the agent reads what anybody may.
    pub(super) fn lend(
        &mut self,
        tree: BorrowedFd<'_>,
        path: &Path,
        attributes: MountAttributes,
    ) -> io::Result<()> {
        let mapped = self.mapping(path).and_then(|mapping| {
            let user_namespace = mapping.as_raw_fd() as u64;
            let set = attributes.set | MOUNT_ATTR_IDMAP;
            set_tree_attributes(tree, &MountAttributes { set, user_namespace, ..attributes })
        });
        mapped.or_else(|_| set_tree_attributes(tree, &attributes))
    }

    fn mapping(&mut self, path: &Path) -> io::Result<BorrowedFd<'_>> {
        let metadata = fs::metadata(path)?;
        let owner = (metadata.uid(), metadata.gid());
        if !self.mappings.contains_key(&owner) {
            // Nobody waits for the holder's end, which takes milliseconds: init reaps it with everything else.
            let (mapping, _) = user_namespace(owner, self.to)?;
            self.mappings.insert(owner, mapping);
        }
        self.mappings.get(&owner).map(File::as_fd).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

// A user namespace has to be made by a process of its own, which is about to end.
fn user_namespace(owner: (u32, u32), to: Identity) -> io::Result<(File, Pid)> {
    let holder = match sys::clone(CloneFlags::CLONE_NEWUSER)? {
        Cloned::Child => loop {
            pause();
        },
        Cloned::Parent(holder) => holder,
    };
    let namespace = to.map_as(holder, owner).and_then(|()| File::open(format!("/proc/{holder}/ns/user")));
    // It is ours, and has done all that it is for.
    let _ = kill(holder, Signal::SIGKILL);
    Ok((namespace?, holder))
}
