//! How threads share a processor.

use std::io;
use std::time::Duration;

/// How long a thread that answers may go on while others wait for its processor: the shortest that
/// Linux allows.
pub const SHORT_SLICE: Duration = Duration::from_micros(100);

/// Has the calling thread run as soon as it has something to do, though others compute all the time:
/// it takes processors for [`SHORT_SLICE`] at a time, where the default is some milliseconds, and
/// the kernel lets those with short slices go first. It gets no larger share of the processor for
/// that. Threads that it starts have slices as everybody does.
///
/// Linux honours it from 6.12 on; elsewhere nothing happens.
///
/// # Errors
/// The kernel refuses, as some sandboxes' system call filters do.
pub fn answer_promptly() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let mut attributes = linux::attributes()?;
        // Policies other than these two have no slices, and were chosen on purpose.
        if [libc::SCHED_OTHER, libc::SCHED_BATCH]
            .map(|policy| policy as u32)
            .contains(&attributes.sched_policy)
        {
            attributes.sched_flags |= libc::SCHED_FLAG_RESET_ON_FORK as u64;
            attributes.sched_runtime = SHORT_SLICE.as_nanos() as u64;
            linux::set_attributes(&attributes)?;
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::mem;

    use libc::{SYS_sched_getattr, SYS_sched_setattr, c_long, sched_attr, syscall};

    /// The system calls' name for the calling thread.
    const THIS_THREAD: c_long = 0;
    const SIZE: u32 = mem::size_of::<sched_attr>() as u32;

    /// How the calling thread is scheduled.
    pub(super) fn attributes() -> io::Result<sched_attr> {
        let mut attributes = sched_attr {
            size: SIZE,
            sched_policy: 0,
            sched_flags: 0,
            sched_nice: 0,
            sched_priority: 0,
            sched_runtime: 0,
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: the kernel writes no more than `SIZE` bytes to the structure, which is that large
        // and is of plain integers.
        #[allow(unsafe_code)]
        let got = unsafe { syscall(SYS_sched_getattr, THIS_THREAD, &raw mut attributes, SIZE, 0) };
        if got == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
    }

    pub(super) fn set_attributes(attributes: &sched_attr) -> io::Result<()> {
        // SAFETY: the kernel only reads the structure, which says how large it is.
        #[allow(unsafe_code)]
        let set = unsafe { syscall(SYS_sched_setattr, THIS_THREAD, &raw const *attributes, 0) };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The slice of the calling thread in nanoseconds; 0 where the kernel knows no slices.
    fn slice() -> u64 {
        linux::attributes().map_or(0, |attributes| attributes.sched_runtime)
    }

    #[test]
    fn a_thread_that_answers_has_a_short_slice_and_those_that_it_starts_have_not() {
        std::thread::spawn(|| {
            let usual = slice();
            answer_promptly().unwrap();
            if usual != 0 {
                assert_eq!(slice(), SHORT_SLICE.as_nanos() as u64);
                assert_eq!(std::thread::spawn(slice).join().unwrap(), usual);
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_that_answers_is_as_nice_as_before() {
        std::thread::spawn(|| {
            let nicer = linux::attributes().unwrap().sched_nice + 3;
            linux::set_attributes(&libc::sched_attr { sched_nice: nicer, ..linux::attributes().unwrap() })
                .unwrap();
            answer_promptly().unwrap();
            assert_eq!(linux::attributes().unwrap().sched_nice, nicer);
        })
        .join()
        .unwrap();
    }
}
