//! Sessions' networks on a machine that is a network namespace itself, with an outside that is
//! another. No packet leaves them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sched::unshare;

use super::links::Links;
use super::*;

const MACHINE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const AZURE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
const PORT: u16 = 80;
/// How long to wait for an answer that has to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for one that must not: what is dropped without a word is waited for in full.
const SUSPICION: Duration = Duration::from_millis(300);

/// A machine with an outside, as far as this thread sees.
struct Laboratory {
    outside: File,
}

impl Laboratory {
    /// `None` where namespaces cannot be made. Call it on a thread of its own.
    fn new() -> Option<Self> {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            assert!(std::env::var_os("CI").is_none(), "no network namespace can be made: {error}");
            println!("skipped: no network namespace can be made ({error}): run it as root");
            return None;
        }
        let outside = namespace();
        let mut links = Links::open().unwrap();
        links.bring_up("lo").unwrap();
        links.add_pair("up0", "up0", outside.as_fd()).unwrap();
        links.add_address("up0", MACHINE, 24).unwrap();
        links.bring_up("up0").unwrap();
        links.add_default_route(OUTSIDE).unwrap();
        within(outside.as_fd(), || {
            let mut links = Links::open()?;
            links.add_address("up0", OUTSIDE, 24)?;
            for address in [METADATA, AZURE, ALIBABA] {
                links.add_address("up0", address, 32)?;
            }
            links.bring_up("up0")?;
            serve("outside")
        })
        .unwrap();
        serve("machine").unwrap();
        Some(Self { outside })
    }

    /// A session's network, joined to the machine, with a server in it.
    fn session(&self, filtered: bool) -> File {
        let session = namespace();
        let this_machine = addresses::of_this_machine().unwrap();
        within(session.as_fd(), || {
            Links::open()?.bring_up("lo")?;
            if filtered { filter::install(&this_machine) } else { Ok(()) }
        })
        .unwrap();
        veth::join(session.as_fd()).unwrap();
        within(session.as_fd(), || serve("session")).unwrap();
        session
    }
}

// A namespace lives for as long as somebody has it open.
fn namespace() -> File {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        File::open("/proc/thread-self/ns/net")
    };
    thread::spawn(make).join().unwrap().unwrap()
}

fn serve(word: &'static str) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut connection = connection;
            let _ = connection.write_all(word.as_bytes());
        }
    });
    Ok(())
}

/// Who answers at an address, as seen from a namespace.
fn asked(from: &File, address: Ipv4Addr, patience: Duration) -> io::Result<String> {
    within(from.as_fd(), || {
        let mut connection = TcpStream::connect_timeout(&SocketAddr::from((address, PORT)), patience)?;
        let mut word = String::new();
        connection.read_to_string(&mut word)?;
        Ok(word)
    })
}

fn reaches(from: &File, address: Ipv4Addr, word: &str) {
    assert_eq!(asked(from, address, PATIENCE).unwrap(), word, "at {address}");
}

fn is_kept_from(from: &File, addresses: &[Ipv4Addr]) {
    for address in addresses {
        let answer = asked(from, *address, SUSPICION);
        assert!(answer.is_err(), "{address} answered {answer:?}");
    }
}

fn address_of(session: &File) -> Ipv4Addr {
    let mut addresses = within(session.as_fd(), own_addresses).unwrap();
    addresses.pop().unwrap()
}

fn own_addresses() -> io::Result<Vec<Ipv4Addr>> {
    let all =
        nix::ifaddrs::getifaddrs()?.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()));
    Ok(all.filter(|address| !address.is_loopback()).collect())
}

fn on_a_machine_of_its_own(test: impl FnOnce(Laboratory) + Send + 'static) {
    let done = thread::spawn(|| Laboratory::new().map(test)).join();
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_session_reaches_the_outside_and_itself_and_nothing_else() {
    on_a_machine_of_its_own(|machine| {
        router::ensure().unwrap();
        let (one, two) = (machine.session(true), machine.session(true));
        reaches(&one, OUTSIDE, "outside");
        reaches(&one, Ipv4Addr::LOCALHOST, "session");
        reaches(&one, address_of(&one), "session");
        let gateway = Ipv4Addr::from_bits(address_of(&one).to_bits() - 1);
        is_kept_from(&one, &[MACHINE, gateway, address_of(&two), METADATA, AZURE, ALIBABA]);
        reaches(&machine.outside, MACHINE, "machine");
    });
}

#[test]
fn either_filter_alone_keeps_the_machine_and_other_sessions_closed() {
    on_a_machine_of_its_own(|machine| {
        // As open as can be, to see what the walls are worth.
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        within(machine.outside.as_fd(), || Links::open()?.add_default_route(MACHINE)).unwrap();
        let (open, other) = (machine.session(false), machine.session(false));
        let closed = [MACHINE, address_of(&other), METADATA, AZURE, ALIBABA];
        for (address, word) in closed.into_iter().zip(["machine", "session", "outside"]) {
            reaches(&open, address, word);
        }
        is_kept_from(&machine.session(true), &closed);
        router::ensure().unwrap();
        is_kept_from(&open, &closed);
        reaches(&open, OUTSIDE, "outside");
    });
}

#[test]
fn a_session_that_connects_in_vain_hears_so_at_once() {
    on_a_machine_of_its_own(|machine| {
        let refused = asked(&machine.session(true), METADATA, PATIENCE).unwrap_err();
        assert_ne!(refused.kind(), io::ErrorKind::TimedOut, "{refused}");
    });
}

#[test]
fn where_azure_keeps_its_metadata_it_also_answers_for_names() {
    on_a_machine_of_its_own(|machine| {
        router::ensure().unwrap();
        let names = SocketAddr::from((AZURE, addresses::NAMES));
        let listener = within(machine.outside.as_fd(), || TcpListener::bind(names)).unwrap();
        let session = machine.session(true);
        within(session.as_fd(), || TcpStream::connect_timeout(&names, PATIENCE)).unwrap();
        drop(listener);
    });
}

#[test]
fn nobody_gets_to_a_session_from_outside() {
    on_a_machine_of_its_own(|machine| {
        router::ensure().unwrap();
        let session = machine.session(true);
        within(machine.outside.as_fd(), || Links::open()?.add_default_route(MACHINE)).unwrap();
        is_kept_from(&machine.outside, &[address_of(&session)]);
    });
}

#[test]
fn a_link_and_its_addresses_go_with_the_session() {
    on_a_machine_of_its_own(|_| {
        let session = namespace();
        veth::join(session.as_fd()).unwrap();
        let gateway = Ipv4Addr::from_bits(address_of(&session).to_bits() - 1);
        assert!(own_addresses().unwrap().contains(&gateway));
        drop(session);
        // The kernel takes namespaces apart in its own time.
        let gone = (0..3_000).any(|_| {
            thread::park_timeout(Duration::from_millis(10));
            !own_addresses().unwrap().contains(&gateway)
        });
        assert!(gone);
    });
}

#[test]
fn the_hosts_rules_are_installed_once_and_found_again() {
    on_a_machine_of_its_own(|_| {
        assert!(!rules::exists("agentcore_2").unwrap());
        assert_eq!(Way::find().unwrap(), Way::Link);
        assert!(!rules::exists("agentcore_2").unwrap(), "looking is not touching");
        router::ensure().unwrap();
        assert!(rules::exists("agentcore_2").unwrap());
        router::ensure().unwrap();
    });
}

#[test]
fn an_address_that_the_machine_gets_later_is_heard_of_and_closed() {
    const LATER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
    on_a_machine_of_its_own(|machine| {
        let session = machine.session(true);
        let mut watch = AddressWatch::begin(&addresses::of_this_machine().unwrap()).unwrap();
        assert_eq!(watch.unknown().unwrap(), None);
        Links::open().unwrap().add_address("up0", LATER, 32).unwrap();
        reaches(&session, LATER, "machine");
        let mut waited = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut waited, 30_000_u16).unwrap(), 1, "nothing is heard");
        watch.take();
        let all = watch.unknown().unwrap().expect("there is a new address");
        within(session.as_fd(), || close_to_session(&all)).unwrap();
        is_kept_from(&session, &[MACHINE, LATER]);
        watch.know(all);
        assert_eq!(watch.unknown().unwrap(), None);
    });
}

#[test]
fn no_addresses_of_the_machine_are_left_out_of_the_filter() {
    on_a_machine_of_its_own(|_| {
        assert_eq!(addresses::of_this_machine().unwrap(), [MACHINE]);
    });
}
