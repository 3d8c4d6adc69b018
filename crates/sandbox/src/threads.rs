//! How threads share a processor.
//!
//! Linux gives a processor to the thread that has had less than its share, and of those to the one whose
//! slice would end first. A thread that answers needs little and should have it at once, one that
//! computes needs much and may wait: with short slices for the one, and long ones and less weight for
//! the other, the first is next whenever it has something to do.
//!
//! Linux honours slices from 6.12 on. On other systems nothing happens at all.

use std::io;
use std::time::Duration;

/// How long a thread that answers may go on while others wait for its processor: the shortest that
/// Linux allows.
const SHORT_SLICE: Duration = Duration::from_micros(100);
/// And one that computes. It has to be longer than the tick, at which the kernel looks whether a slice
/// is over: otherwise all of them are overdue, and come before whoever has just woken up.
const LONG_SLICE: Duration = Duration::from_millis(50);
/// How much nicer a thread that computes is. With 64 of them on a processor and as much weight for each, a
/// single ping every 5 ms would be more than a thread's share.
const NICER: i32 = 8;

/// Has the calling thread run as soon as it has something to do, though others compute all the time.
/// It gets no larger share of the processor for that. Threads that it starts are as they would have been.
///
/// # Errors
/// The kernel refuses, as some sandboxes' system call filters do.
pub fn answer_promptly() -> io::Result<()> {
    be(&Manner { slice: SHORT_SLICE, nicer: 0, handed_down: false })
}

/// Has the calling thread, and those that it starts, let others go first: for code that computes beside
/// threads that [answer promptly](answer_promptly). Only a privileged process can take it back.
///
/// # Errors
/// As [`answer_promptly`].
pub fn give_way() -> io::Result<()> {
    be(&Manner { slice: LONG_SLICE, nicer: NICER, handed_down: true })
}

/// How a thread treats others.
struct Manner {
    slice: Duration,
    /// Than it is now.
    nicer: i32,
    /// To threads and processes that it starts.
    handed_down: bool,
}

#[cfg(not(target_os = "linux"))]
fn be(_: &Manner) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
use linux::be;

#[cfg(target_os = "linux")]
mod linux {
    use std::{io, mem};

    use libc::{SYS_sched_getattr, SYS_sched_setattr, c_long, sched_attr, syscall};

    use super::Manner;

    /// As nice as can be.
    const NICEST: i32 = 19;
    /// The policies that know slices and niceness. Others were chosen on purpose.
    const SHARING: [i32; 2] = [libc::SCHED_OTHER, libc::SCHED_BATCH];
    /// The system calls' name for the calling thread.
    const THIS_THREAD: c_long = 0;
    const SIZE: u32 = mem::size_of::<sched_attr>() as u32;

    pub(super) fn be(manner: &Manner) -> io::Result<()> {
        let mut attributes = attributes()?;
        if !SHARING.iter().any(|policy| policy.cast_unsigned() == attributes.sched_policy) {
            return Ok(());
        }
        attributes.sched_nice = (attributes.sched_nice + manner.nicer).min(NICEST);
        attributes.sched_runtime = u64::try_from(manner.slice.as_nanos()).unwrap_or(u64::MAX);
        if !manner.handed_down {
            attributes.sched_flags |= libc::SCHED_FLAG_RESET_ON_FORK.cast_unsigned() as u64;
        }
        // SAFETY: the kernel only reads the structure, which says how large it is.
        #[allow(unsafe_code)]
        let set = unsafe { syscall(SYS_sched_setattr, THIS_THREAD, &raw const attributes, 0) };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

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
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use super::*;

    /// The calling thread's slice in nanoseconds, 0 where the kernel knows none, and how nice it is.
    fn manners() -> (u64, i32) {
        linux::attributes().map_or((0, 0), |attributes| (attributes.sched_runtime, attributes.sched_nice))
    }

    fn on_a_thread_of_its_own<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        thread::spawn(work).join().expect("the thread does not panic")
    }

    /// What a thread was, what it became, and what a thread is that it starts.
    fn before_after_and_inherited(change: fn() -> io::Result<()>) -> [(u64, i32); 3] {
        on_a_thread_of_its_own(move || {
            let before = manners();
            change().expect("the kernel allows it");
            [before, manners(), on_a_thread_of_its_own(manners)]
        })
    }

    #[test]
    fn a_thread_that_answers_has_a_short_slice_and_those_that_it_starts_have_not() {
        let [before, after, inherited] = before_after_and_inherited(answer_promptly);
        assert_eq!((after.1, inherited), (before.1, before));
        if before.0 != 0 {
            assert_eq!(u128::from(after.0), SHORT_SLICE.as_nanos());
        }
    }

    #[test]
    fn a_thread_that_gives_way_is_nicer_with_a_long_slice_and_so_are_those_that_it_starts() {
        let [before, after, inherited] = before_after_and_inherited(give_way);
        assert_eq!(inherited, after);
        assert_eq!(after.1, (before.1 + NICER).min(19));
        if before.0 != 0 {
            assert_eq!(u128::from(after.0), LONG_SLICE.as_nanos());
        }
    }

    #[test]
    fn a_thread_that_gave_way_before_is_none_the_worse_for_it() {
        let (nice, nicest) = on_a_thread_of_its_own(|| {
            give_way().unwrap();
            answer_promptly().unwrap();
            let nice = manners().1;
            (0..4).try_for_each(|_| give_way()).unwrap();
            (nice, manners().1)
        });
        assert!((NICER..=19).contains(&nice) && nicest == 19, "{nice} {nicest}");
    }
}
