//! System calls that have no wrapper.

#![allow(unsafe_code, reason = "system calls by number")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Which process returns from [`clone`].
pub(crate) enum Cloned {
    /// The one that called it; the other is this.
    Parent(Pid),
    /// The new one.
    Child,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a process with new namespaces. With `CLONE_PARENT` it is a sibling, else a child that
/// signals its end by SIGCHLD.
///
/// Only for processes with one thread: in a child of any other, nothing but system calls works.
pub(crate) fn clone(flags: CloneFlags) -> io::Result<Cloned> {
    clone_into(flags, None)
}

/// The same, with the new process born in a control group of version 2.
pub(crate) fn clone_into(flags: CloneFlags, group: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let sibling = flags.contains(CloneFlags::CLONE_PARENT);
    // SAFETY: an all-zero clone_args asks for nothing.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(flags.bits().cast_unsigned());
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
    }
    args.exit_signal = if sibling { 0 } else { libc::SIGCHLD as u64 };
    // SAFETY: without CLONE_VM the child gets a copy of everything, the stack included, so that it
    // goes on from here as after fork; the caller has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match Errno::result(pid)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent(Pid::from_raw(pid as i32))),
    }
}

/// Has a child do something, and waits for it: for what a process cannot take back.
///
/// Only for processes with one thread, as [`clone`] is.
pub(crate) fn in_a_child(act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let child = match clone(CloneFlags::empty())? {
        Cloned::Child => leave(match act() {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(libc::ENOSYS),
        }),
        Cloned::Parent(child) => child,
    };
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, errno) => Err(io::Error::from_raw_os_error(errno)),
        _ => Err(io::Error::other("whoever tried it was killed")),
    }
}

const OPEN_TREE_CLONE: libc::c_uint = 1;
const AT_RECURSIVE: libc::c_uint = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;

/// A copy of the mounts at `path`, and below, that is attached nowhere.
pub(crate) fn open_tree(path: &Path) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    let flags = OPEN_TREE_CLONE | AT_RECURSIVE | libc::O_CLOEXEC as libc::c_uint;
    // SAFETY: the path is a C string that lives through the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Attaches such a copy at `path`.
pub(crate) fn move_mount(tree: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_string(path)?;
    // SAFETY: both paths are C strings that live through the call, the first an empty one.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    Errno::result(moved)?;
    Ok(())
}

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 1;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 4;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 8;
pub(crate) const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct MountAttributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) user_namespace: u64,
}

/// Changes what the mounts of a tree allow, those below included.
pub(crate) fn set_tree_attributes(tree: BorrowedFd<'_>, attributes: &MountAttributes) -> io::Result<()> {
    set_attributes(
        tree.as_raw_fd(),
        Path::new(""),
        libc::AT_EMPTY_PATH as libc::c_uint | AT_RECURSIVE,
        attributes,
    )
}

/// Makes the one mount at `path` read-only.
pub(crate) fn make_read_only(path: &Path) -> io::Result<()> {
    let attributes = MountAttributes { set: MOUNT_ATTR_RDONLY, ..MountAttributes::default() };
    set_attributes(libc::AT_FDCWD, path, 0, &attributes)
}

fn set_attributes(
    at: RawFd,
    path: &Path,
    flags: libc::c_uint,
    attributes: &MountAttributes,
) -> io::Result<()> {
    let path = c_string(path)?;
    // SAFETY: the path is a C string and the attributes a struct of the size that is named; both
    // live through the call.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<MountAttributes>(),
        )
    };
    Errno::result(set)?;
    Ok(())
}

/// Closes every descriptor.
pub(crate) fn close_all() -> io::Result<()> {
    // SAFETY: three integers. Only a process that will use no descriptor again calls this; that some
    // are owned by values that it never drops does no harm.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
    Errno::result(closed)?;
    Ok(())
}

/// Ends this process at once, without the handlers that belong to its parent.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: _exit only ends the process.
    unsafe { libc::_exit(code) }
}

fn c_string(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use nix::sys::wait::waitpid;
    use nix::unistd::pipe;

    use super::*;
    use crate::CgroupRoots;

    #[test]
    fn a_process_is_born_in_its_group() {
        let name = format!("agentcore-test-birth-{}", std::process::id());
        let group = CgroupRoots::discover().unified.map(|root| root.join(name));
        let Some(group) = group.filter(|group| fs::create_dir(group).is_ok()) else {
            println!("skipped: there are no control groups of version 2 to be made");
            return;
        };
        let folder = File::open(&group).unwrap();
        let (read, write) = pipe().unwrap();
        match clone_into(CloneFlags::empty(), Some(folder.as_fd())).unwrap() {
            Cloned::Child => {
                drop(write);
                // Until the parent has looked.
                let _ = nix::unistd::read(&read, &mut [0]);
                leave(0)
            }
            Cloned::Parent(child) => {
                let inside = fs::read_to_string(group.join("cgroup.procs")).unwrap();
                drop(write);
                waitpid(child, None).unwrap();
                fs::remove_dir(&group).unwrap();
                assert_eq!(inside.trim(), child.to_string());
            }
        }
    }
}
