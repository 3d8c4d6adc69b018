//! What sandboxes reach of the network, and that they are reached in any case.

use agentcore_sandbox::{NetworkMode, ProcessOptions, SandboxSpec, Wall};

use crate::bench::{Bench, Processes, ask, end_of, init, kill, log};
use crate::lab::{Lab, OUTSIDE, skipped};

/// Sandboxes on a machine of their own.
fn on_a_machine() -> Option<(Lab, Processes)> {
    let lab = Lab::new()?;
    let command = [lab.on_machine(), vec![init()]].concat();
    let options = ProcessOptions::new(command);
    let walls = options.probe().unwrap().standing;
    if !walls.contains(&Wall::Network) {
        return skipped("no sandbox can have a network of its own");
    }
    Some((lab, Processes::from(ProcessOptions { walls, ..options })))
}

fn with(mode: NetworkMode, spec: SandboxSpec) -> SandboxSpec {
    SandboxSpec { network: mode, ..spec }
}

const CONNECTS: &str = "
import socket, sys
for address in ADDRESSES:
    try:
        with socket.create_connection((address, 80), timeout=5) as connection:
            print(address, connection.recv(100).decode())
    except OSError as error:
        print(address, 'no')
";

async fn reached(bench: &Processes, mode: NetworkMode, addresses: &[String]) -> String {
    let script = CONNECTS.replace("ADDRESSES", &format!("{addresses:?}"));
    let sandbox = bench.run(&with(mode, bench.python(&script))).await;
    end_of(&*sandbox).await;
    log(&*sandbox)
}

#[tokio::test]
async fn each_mode_reaches_what_it_says() {
    let Some((_lab, bench)) = on_a_machine() else { return };
    let addresses = [OUTSIDE.to_string(), "169.254.169.254".to_owned()];
    let say = |outside: &str, metadata: &str| format!("{OUTSIDE} {outside}\n169.254.169.254 {metadata}\n");
    assert_eq!(reached(&bench, NetworkMode::Egress, &addresses).await, say("outside", "no"));
    assert_eq!(reached(&bench, NetworkMode::None, &addresses).await, say("no", "no"));
    assert_eq!(reached(&bench, NetworkMode::Host, &addresses).await, say("outside", "outside"));
}

#[tokio::test]
async fn sandboxes_may_all_bind_the_port_they_were_written_for() {
    let Some((_lab, bench)) = on_a_machine() else { return };
    let script = "
import os, socket
door = socket.create_server(('0.0.0.0', 8080))
while True:
    connection, _ = door.accept()
    connection.sendall(b'%d ' % os.getpid() + connection.recv(100))
    connection.close()
";
    let mut sandboxes = Vec::new();
    for mode in [NetworkMode::Egress, NetworkMode::None, NetworkMode::Egress] {
        sandboxes.push(bench.run(&with(mode, bench.python(script))).await);
    }
    for sandbox in &sandboxes {
        for word in ["one", "two"] {
            assert!(ask(&**sandbox, word).await.ends_with(word));
        }
    }
    for sandbox in &sandboxes {
        kill(&**sandbox).await;
    }
}

#[tokio::test]
async fn without_a_network_not_even_a_port_of_its_own_is_connected_to() {
    let Some((_lab, bench)) = on_a_machine() else { return };
    let script = "
import ctypes, socket
door = socket.create_server(('127.0.0.1', 0))
knows_ports = ctypes.CDLL(None).syscall(444, None, 0, 1) >= 4
try: print(knows_ports, bool(socket.create_connection(door.getsockname())))
except OSError as error: print(knows_ports, error.strerror)
";
    let tried = async |mode| {
        let sandbox = bench.run(&with(mode, bench.python(script))).await;
        end_of(&*sandbox).await;
        log(&*sandbox)
    };
    let egress = tried(NetworkMode::Egress).await;
    assert!(egress.ends_with("True\n"), "{egress}");
    // A kernel before 6.7 knows no ports.
    if egress.starts_with("True") {
        assert_eq!(tried(NetworkMode::None).await, "True Permission denied\n");
    }
}

#[tokio::test]
async fn the_handed_over_socket_is_served_from_any_network() {
    let Some((_lab, bench)) = on_a_machine() else { return };
    for mode in [NetworkMode::Egress, NetworkMode::None] {
        let sandbox = bench.run(&with(mode, bench.spec(crate::bench::Agent::Counts))).await;
        assert_eq!(ask(&*sandbox, "x").await, "1 x");
        kill(&*sandbox).await;
    }
}

#[tokio::test]
async fn a_sandbox_sees_no_link_but_its_own() {
    let Some((_lab, bench)) = on_a_machine() else { return };
    let links = "import socket; print(sorted(name for _, name in socket.if_nameindex()))";
    for (mode, expected) in [(NetworkMode::Egress, "['eth0', 'lo']\n"), (NetworkMode::None, "['lo']\n")] {
        let sandbox = bench.run(&with(mode, bench.python(links))).await;
        end_of(&*sandbox).await;
        assert_eq!(log(&*sandbox), expected);
    }
}
