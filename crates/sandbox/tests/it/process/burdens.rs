//! What agents have init do for them must not take more of the machine than is in proportion.

use std::fs;
use std::time::Duration;

use agentcore_sandbox::{IncarnationFolder, NetworkMode, Sandbox, SandboxSpec, Wall};
use tokio::io::AsyncReadExt;

use crate::bench::{Bench, Processes, ask, end_of, kill, standing, until, until_logged};

/// What an init has used so far.
struct Burden {
    ticks: u64,
    descriptors: usize,
}

fn burden(sandbox: &dyn Sandbox) -> Burden {
    let record = fs::read(sandbox.folder().join("init.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let process = format!("/proc/{}", record["init_pid"]);
    let stat = fs::read_to_string(format!("{process}/stat")).unwrap();
    // User and system time are the 14th and 15th field; the second is in brackets and may have blanks.
    let fields: Vec<u64> =
        stat.rsplit(") ").next().unwrap().split(' ').map(|it| it.parse().unwrap_or(0)).collect();
    let descriptors = fs::read_dir(format!("{process}/fd")).unwrap().count();
    Burden { ticks: fields[11] + fields[12], descriptors }
}

/// Has init nothing to do: of half a second it works less than a quarter.
async fn is_quiet(sandbox: &dyn Sandbox) -> bool {
    let before = burden(sandbox).ticks;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // A tick is a hundredth of a second.
    burden(sandbox).ticks - before < 12
}

#[tokio::test]
async fn a_socket_that_was_shut_down_keeps_nobody_busy() {
    let bench = Processes::new();
    let shut = "
import os, socket, time
socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RDWR)
time.sleep(1000)
";
    let sandbox = bench.run(&bench.python(shut)).await;
    let why = "agentcore: connections cannot be passed on to the agent: it has shut down the socket that it was handed";
    until_logged(&*sandbox, why).await;
    assert!(is_quiet(&*sandbox).await);
    assert!(sandbox.connect().await.is_err());
    kill(&*sandbox).await;
}

/// Serves on its port, and then does this with its own socket at `path`.
fn bridged(bench: &Processes, then: &str) -> SandboxSpec {
    let serve = "
import os, socket, threading, time
path = os.environ['AGENTCORE_SANDBOX'] + '/agent.sock'
door = socket.create_server(('127.0.0.1', int(os.environ['PORT'])), backlog=4096)
held = []
def serve():
    while True:
        connection, _ = door.accept()
        word = connection.recv(100)
        if word == b'hold': held.append(connection)
        else:
            connection.sendall(word)
            connection.close()
threading.Thread(target=serve, daemon=True).start()
def connect(word):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(word)
    return client
";
    SandboxSpec { network: NetworkMode::Host, ..bench.python(&format!("{serve}{then}\ntime.sleep(1000)")) }
}

#[tokio::test]
async fn connections_to_itself_take_a_bounded_part_of_init() {
    let bench = Processes::new();
    let flood = "
clients = []
def flood():
    while len(clients) < 900: clients.append(connect(b'hold'))
threading.Thread(target=flood, daemon=True).start()
while len(held) < 500: time.sleep(0.01)
time.sleep(0.3)
print('held', len(held) <= 512, flush=True)
for client in clients: client.close()
";
    let sandbox = bench.run(&bridged(&bench, flood)).await;
    until_logged(&*sandbox, "held True").await;
    assert!(burden(&*sandbox).descriptors < 1_100);
    assert!(is_quiet(&*sandbox).await);
    kill(&*sandbox).await;
}

#[tokio::test]
async fn a_door_that_was_full_opens_again() {
    let bench = Processes::new();
    let flood = "
clients = [connect(b'hold') for _ in range(600)]
for client in clients: client.close()
held.clear()
";
    let sandbox = bench.run(&bridged(&bench, flood)).await;
    assert_eq!(ask(&*sandbox, "hello").await, "hello");
    kill(&*sandbox).await;
}

#[tokio::test]
async fn an_agent_cannot_have_init_wait_at_the_socket() {
    let bench = Processes::new();
    // Whoever accepts meanwhile finds nobody.
    let block = "
import ctypes, fcntl
connect(b'hold')
def block():
    while True: fcntl.fcntl(3, fcntl.F_SETFL, 0)
for _ in range(2): threading.Thread(target=block, daemon=True).start()
print('blocking', flush=True)
";
    let sandbox = bench.run(&bridged(&bench, block)).await;
    until_logged(&*sandbox, "blocking").await;
    for word in ["one", "two", "three"] {
        assert_eq!(ask(&*sandbox, word).await, word);
    }
    // Init hears the signal between two waits.
    kill(&*sandbox).await;
}

#[tokio::test]
async fn a_log_is_filled_no_faster_than_it_is_read() {
    let bench = Processes::new();
    let flood = "
import os, time
begun, written, piece = time.monotonic(), 0, bytes(1 << 16)
while time.monotonic() - begun < 3: written += os.write(1, piece)
open('written', 'w').write(str(written))
";
    let spec = bench.python(flood);
    let sandbox = bench.run(&spec).await;
    end_of(&*sandbox).await;
    let work = IncarnationFolder::new(&spec.folder).work();
    let written: u64 = fs::read_to_string(work.join("written")).unwrap().parse().unwrap();
    // The burst, the rate of three seconds, and something for a busy machine.
    assert!(written < 80 << 20, "{written}");
}

#[tokio::test]
async fn commands_are_run_while_the_agent_floods_its_log() {
    let bench = Processes::new();
    let sandbox = bench.run(&bench.shell("exec cat /dev/zero")).await;
    let command = agentcore_sandbox::ExecCommand { shell: "echo here".into() };
    let mut said = String::new();
    sandbox.exec(&command).await.unwrap().stdout.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "here\n");
    until("the flood is held back", || {
        let older = fs::read(IncarnationFolder::new(sandbox.folder()).older_log());
        older.is_ok_and(|log| !log.is_empty())
    })
    .await;
    kill(&*sandbox).await;
}

#[tokio::test]
async fn sessions_do_not_use_up_what_the_kernel_counts_by_users() {
    if !nix::unistd::geteuid().is_root() || !standing().contains(&Wall::Mount) {
        println!("skipped: only root lends sessions users of their own");
        return;
    }
    let bench = Processes::new();
    let take = "
import ctypes, time
libc, held = ctypes.CDLL(None), 0
while held < 5000 and libc.inotify_init1(0) >= 0: held += 1
print('holds', held, flush=True)
time.sleep(1000)
";
    let mut sandboxes = Vec::new();
    // Together more than there are for one user.
    for _ in 0..6 {
        let sandbox = bench.run(&bench.python(take)).await;
        until_logged(&*sandbox, "holds 32").await;
        sandboxes.push(sandbox);
    }
    let flags = nix::sys::inotify::InitFlags::empty();
    nix::sys::inotify::Inotify::init(flags).expect("there are some for the machine");
    for sandbox in &sandboxes {
        kill(&**sandbox).await;
    }
}
