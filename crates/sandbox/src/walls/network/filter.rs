//! The filter inside a session's own network namespace: what its programs may not even send.
//!
//! It is installed before any of its programs runs, and they lose the right to change it before they
//! do, so that there is no moment without. It stands whatever carries the packets further.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_netfilter::nftables::InetHookNumber;

use super::addresses::{BROADCAST, LINK_LOCAL, METADATA, MULTICAST, NAMES, SESSIONS};
use super::rules::{self, Chain, Rule};

const TABLE: &str = "agentcore_session";

/// Installs it in the network namespace that this process is in.
pub(super) fn install(this_machine: &[Ipv4Addr]) -> io::Result<()> {
    put(this_machine, rules::install)
}

/// The same, at once, in the place of the one that is there.
pub(super) fn renew(this_machine: &[Ipv4Addr]) -> io::Result<()> {
    put(this_machine, rules::replace)
}

fn put(this_machine: &[Ipv4Addr], put: fn(&str, &[Chain]) -> io::Result<()>) -> io::Result<()> {
    match put(TABLE, &[chain(this_machine, Rule::reject)]) {
        // A kernel without `reject`: then in silence.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            put(TABLE, &[chain(this_machine, Rule::drop)])
        }
        done => done,
    }
}

fn chain(this_machine: &[Ipv4Addr], refuse: fn(Rule) -> Rule) -> Chain {
    let mut rules = vec![Rule::new().leaving_by("lo").accept()];
    // There is no way out for it, and every link has link-local neighbours.
    rules.push(refuse(Rule::new().ipv6()));
    let machine = this_machine.iter().map(|address| (*address, 32));
    let refused = [LINK_LOCAL, SESSIONS, MULTICAST, BROADCAST].into_iter().chain(machine);
    rules.extend(METADATA.map(|net| refuse(Rule::new().to(net).not_to_port(NAMES))));
    rules.extend(refused.map(|net| refuse(Rule::new().to(net))));
    Chain { name: "output", kind: "filter", hook: InetHookNumber::LocalOut, priority: 0, rules }
}
