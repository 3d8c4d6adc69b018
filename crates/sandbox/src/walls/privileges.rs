//! Giving up every capability, for good.

#![allow(unsafe_code, reason = "prctl and capset have no wrappers")]

use std::io;

use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, setrlimit};

/// No capability, now or by any program that is executed.
pub(super) fn give_up() -> io::Result<()> {
    set_no_new_privs()?;
    forbid_core_dumps()?;
    empty_bounding_set()?;
    // SAFETY: prctl with integers; it empties the ambient set.
    let cleared = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    Errno::result(cleared)?;
    empty_other_sets()
}

// Where the kernel hands dumps to a program, that runs outside, as root, on what a crashed agent
// left. A bound of one byte is too small for a file, and tells the kernel not to start the program.
fn forbid_core_dumps() -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_CORE, 1, 1)?)
}

// Without the right to (CAP_SETPCAP), there is nothing in the other sets to be bounded, and no new
// privileges are to be had anyway.
fn empty_bounding_set() -> io::Result<()> {
    for capability in 0..64 {
        // SAFETY: prctl with integers.
        match Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }) {
            Ok(_) => {}
            // One more than the kernel's last.
            Err(Errno::EINVAL) => break,
            Err(Errno::EPERM) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Makes every capability effective that this process may have, whatever its effective user.
pub(super) fn use_all() -> io::Result<()> {
    // Effective, permitted and inheritable, twice 32 bits of each.
    let mut sets = [0_u32; 6];
    // SAFETY: the sets have the size that version 3 of the header asks for.
    let got = unsafe { libc::syscall(libc::SYS_capget, HEADER.as_ptr(), sets.as_mut_ptr()) };
    Errno::result(got)?;
    (sets[0], sets[3]) = (sets[1], sets[4]);
    // SAFETY: as above; both are only read.
    let set = unsafe { libc::syscall(libc::SYS_capset, HEADER.as_ptr(), sets.as_ptr()) };
    Errno::result(set)?;
    Ok(())
}

/// Version 3, for the calling process.
const HEADER: [u32; 2] = [0x2008_0522, 0];

fn empty_other_sets() -> io::Result<()> {
    // Effective, permitted and inheritable, twice 32 bits of each.
    let none = [0_u32; 6];
    // SAFETY: the header and the sets have the sizes that version 3 asks for, and are only read.
    let set = unsafe { libc::syscall(libc::SYS_capset, HEADER.as_ptr(), none.as_ptr()) };
    Errno::result(set)?;
    Ok(())
}
