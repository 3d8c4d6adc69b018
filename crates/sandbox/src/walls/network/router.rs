//! The host's side of sessions that are joined to it by links: it passes their packets on, in its
//! own name, and keeps them from itself and from each other.
//!
//! The rules are about all links of sessions, by the beginning of their names. The first session
//! that needs them installs them, and they stay.

use std::fs::File;
use std::{fs, io};

use netlink_packet_netfilter::nftables::InetHookNumber;

use super::addresses::{LINK_LOCAL, METADATA, NAMES, SESSIONS};
use super::rules::{self, Chain, Rule};

/// How the host's ends of sessions' links begin.
pub(super) const LINK_PREFIX: &str = "agc";
/// The number grows with every change of the rules, so that a newer program installs its own.
const TABLE: &str = "agentcore_2";
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Whether this process may make it.
pub(super) fn is_possible() -> io::Result<()> {
    rules::exists(TABLE)?;
    if forwards()? { Ok(()) } else { File::options().write(true).open(FORWARDING).map(drop) }
}

/// Makes this machine, or rather this network namespace, the sessions' router, if it is not.
pub(super) fn ensure() -> io::Result<()> {
    // Forwarding last: never without the rules.
    if !rules::exists(TABLE)? {
        rules::replace(TABLE, &[for_this_machine(), for_others(), translation()])?;
    }
    if forwards()? { Ok(()) } else { fs::write(FORWARDING, "1") }
}

fn forwards() -> io::Result<bool> {
    Ok(fs::read_to_string(FORWARDING)?.trim() != "0")
}

// Whatever this machine serves, at whichever of its addresses, is not for sessions.
fn for_this_machine() -> Chain {
    let rules = vec![Rule::new().coming_from_any(LINK_PREFIX).drop()];
    Chain { name: "input", kind: "filter", hook: InetHookNumber::LocalIn, priority: -10, rules }
}

fn for_others() -> Chain {
    let from_session = || Rule::new().coming_from_any(LINK_PREFIX);
    let mut rules = METADATA.map(|net| from_session().to(net).not_to_port(NAMES).drop()).to_vec();
    rules.extend([
        from_session().leaving_by_any(LINK_PREFIX).drop(),
        from_session().not_from(SESSIONS).drop(),
        from_session().to(LINK_LOCAL).drop(),
        from_session().ipv6().drop(),
        Rule::new().leaving_by_any(LINK_PREFIX).of_a_known_connection().accept(),
        Rule::new().leaving_by_any(LINK_PREFIX).drop(),
    ]);
    Chain { name: "forward", kind: "filter", hook: InetHookNumber::Forward, priority: -10, rules }
}

fn translation() -> Chain {
    let rules = vec![Rule::new().from(SESSIONS).leaving_by_none(LINK_PREFIX).masquerade()];
    Chain { name: "postrouting", kind: "nat", hook: InetHookNumber::PostRouting, priority: 100, rules }
}
