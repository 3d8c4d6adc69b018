//! A session's link to the host, where this process may make one.

use std::io;
use std::os::fd::BorrowedFd;

use super::addresses::{Ends, LINKS};
use super::links::Links;
use super::router::LINK_PREFIX;
use super::within;

/// What the session calls its end.
const INSIDE: &str = "eth0";
/// A point-to-point link: its two ends are all of its network.
const PREFIX: u8 = 31;

/// Joins the session's network namespace to this one.
pub(super) fn join(session: BorrowedFd<'_>) -> io::Result<()> {
    let mut outside = Links::open()?;
    let number = add(&mut outside, session)?;
    let (name, ends) = (name(number), Ends::of(number));
    outside.add_address(&name, ends.host, PREFIX)?;
    outside.bring_up(&name)?;
    within(session, || {
        let mut inside = Links::open()?;
        inside.add_address(INSIDE, ends.session, PREFIX)?;
        inside.bring_up(INSIDE)?;
        inside.add_default_route(ends.host)
    })
}

// The name is the claim on the addresses that go with it: the kernel gives it to one session, and
// takes it back when the session's namespace goes.
fn add(outside: &mut Links, session: BorrowedFd<'_>) -> io::Result<u16> {
    let first = fastrand::u16(0..LINKS);
    for number in (first..LINKS).chain(0..first) {
        match outside.add_pair(&name(number), INSIDE, session) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            added => return added.map(|()| number),
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "every address for sessions is taken"))
}

fn name(number: u16) -> String {
    format!("{LINK_PREFIX}{number}")
}
