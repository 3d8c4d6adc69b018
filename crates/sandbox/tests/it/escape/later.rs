//! An address that the machine gets while a session runs, by a VPN for instance.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;

use agentcore_sandbox::{IncarnationFolder, NetworkMode, ProcessOptions, SandboxSpec};

use super::{SOMEBODY, suite, what_users_lack};
use crate::bench::{Processes, end_of, init, log};
use crate::lab::{Lab, skipped};

const LATER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
/// What the inner test says when the session runs.
const READY: &str = "the session runs";

/// Tries to connect until it no longer can; between the address and the filter there are moments.
const AGENT: &str = "
import os, socket, sys, time
def reaches():
    try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    except OSError: return False
    return True
while not os.path.exists('added'): time.sleep(0.01)
end = time.monotonic() + 20
while reaches() and time.monotonic() < end: time.sleep(0.05)
print('open' if reaches() else 'closed', flush=True)
";

#[test]
fn an_address_that_the_machine_gets_later_is_closed_as_well() {
    let Some(lab) = Lab::new() else { return };
    closes_a_later_address(&lab, None);
    if let Some(lack) = what_users_lack() {
        skipped::<()>(&format!("for a later address as a user: {lack}"));
        return;
    }
    closes_a_later_address(&lab, Some(SOMEBODY));
}

fn closes_a_later_address(lab: &Lab, user: Option<u32>) {
    let place = tempfile::Builder::new().prefix("esc").tempdir_in("/tmp").unwrap();
    let mut suite = suite(lab, user, place.path(), "escape::later::a_session_tries_a_later_address");
    let mut suite = suite.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(suite.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains(READY)), "no session runs");
    lab.add_address(LATER);
    suite.stdin.take().unwrap().write_all(b"added\n").unwrap();
    let rest: Vec<String> = said.collect();
    lab.remove_address(LATER);
    assert!(suite.wait().unwrap().success(), "as {user:?}: {rest:#?}");
}

#[tokio::test]
#[ignore = "the test above runs it on a machine of its own, as root and as a user"]
async fn a_session_tries_a_later_address() {
    let options = ProcessOptions::new(vec![init()]);
    let walls = options.probe().unwrap().standing;
    let bench = Processes::from(ProcessOptions { walls, ..options });
    let server = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    // Whom nobody accepts can connect only as long as there is room to wait in.
    std::thread::spawn(move || server.incoming().for_each(drop));
    let agent = bench.program("/usr/bin/python3", &["-uc", AGENT, &LATER.to_string(), &port]);
    let spec = SandboxSpec { network: NetworkMode::Egress, ..agent };
    let sandbox = bench.run(&spec).await;
    println!("{READY}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    fs::write(IncarnationFolder::new(&spec.folder).work().join("added"), "").unwrap();
    end_of(&*sandbox).await;
    assert_eq!(log(&*sandbox).trim(), "closed");
}
