//! Whom an agent asks for addresses.
//!
//! Where systemd-resolved or the like runs, `/etc/resolv.conf` names a resolver on the machine's
//! loopback, which an agent with a network of its own does not reach. It gets those that the
//! resolver asks itself.

use std::fs;
use std::net::IpAddr;

use super::plan::{Plan, What};

const CONFIGURATION: &str = "/etc/resolv.conf";
/// Where systemd-resolved says whom it asks itself.
const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// Names resolvers that are reached from a network of its own.
pub(super) fn add(plan: &mut Plan) {
    let machine = fs::read_to_string(CONFIGURATION).unwrap_or_default();
    let upstream = || fs::read_to_string(UPSTREAM).ok();
    if let Some(reached) = reached(&machine, upstream) {
        plan.add(CONFIGURATION, What::File(reached));
    }
}

/// What to say instead of what the machine says, if that is of no use and something else is.
fn reached(machine: &str, upstream: impl FnOnce() -> Option<String>) -> Option<String> {
    let is_of_use = |text: &str| nameservers(text).any(|address| !address.is_loopback());
    if is_of_use(machine) { None } else { upstream().filter(|text| is_of_use(text)) }
}

fn nameservers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUB: &str = "# by systemd-resolved\nnameserver 127.0.0.53\noptions edns0\n";
    const REAL: &str = "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch example\n";

    fn told(machine: &str, upstream: Option<&str>) -> Option<String> {
        reached(machine, || upstream.map(str::to_owned))
    }

    #[test]
    fn a_resolver_on_loopback_gives_way_to_those_that_it_asks() {
        assert_eq!(told(STUB, Some(REAL)).as_deref(), Some(REAL));
        assert_eq!(told("nameserver ::1", Some(REAL)).as_deref(), Some(REAL));
    }

    #[test]
    fn what_is_reached_is_left_as_it_is() {
        assert_eq!(told(REAL, Some("nameserver 192.0.2.9")), None);
        assert_eq!(told(&[STUB, REAL].concat(), Some("nameserver 192.0.2.9")), None);
    }

    #[test]
    fn where_nobody_else_is_known_the_machines_word_stays() {
        assert_eq!(told(STUB, None), None);
        assert_eq!(told(STUB, Some(STUB)), None);
    }
}
