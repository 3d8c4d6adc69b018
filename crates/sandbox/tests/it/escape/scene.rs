//! What is attacked, and the attackers.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;
use std::sync::Arc;

use agentcore_sandbox::{
    CgroupRoots, ExecCommand, ExitStatus, IncarnationFolder, NetworkMode, ProcessOptions, ResourceLimits,
    Sandbox, SandboxSpec, Wall, Walls,
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::Outcome;
use crate::bench::{Processes, end_of, init, kill, log, until_logged};
use crate::lab::MACHINE;

const ATTACKS: &str = include_str!("attacks.py");
const BOMBS: &str = include_str!("bombs.py");
const PYTHON: &str = "/usr/bin/python3";
/// How a line begins that is an outcome.
const MARK: &str = "outcome ";

/// What a session's log may take where it is flooded.
const LOG_BYTES: u64 = 1 << 20;

/// Ways to fill a disk, by the names of the functions.
const DISK_BOMBS: [(&str, &str); 6] = [
    ("disk", "fill the disk with many files"),
    ("one_file", "fill the disk with one file"),
    ("deleted", "fill the disk with deleted files"),
    ("of_a_thread", "fill the disk with deleted files of a thread"),
    ("hidden", "fill the disk where its own user may not look"),
    ("empty", "make empty files without end"),
];

// The other session: it has a secret, a journal, and serves on a port.
const VICTIM: &str = "
import os, socket, time
open('secret', 'w').write('mine')
open(os.environ['AGENTCORE_JOURNAL_DIR'] + '/tasks.jsonl', 'w').write('{}')
door = socket.create_server(('0.0.0.0', 7000))
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect(('192.0.2.2', 9))
print('at', probe.getsockname()[0], flush=True)
while True: door.accept()[0].close()
";

/// An outcome, if the line is one.
pub(super) fn heard(line: &str) -> Option<Outcome> {
    // The test harness may have begun the line.
    serde_json::from_str(&line[line.find(MARK)? + MARK.len()..]).ok()
}

fn last_outcome(said: &str) -> Option<Outcome> {
    said.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

fn say(outcome: &Outcome) {
    println!("{MARK}{}", serde_json::to_string(outcome).unwrap());
}

#[tokio::test]
#[ignore = "the suite runs it on a machine of its own, as root and as a user"]
async fn every_attempt() {
    let scene = Scene::set().await;
    scene.attack(None).await;
    scene.attack_by_command().await;
    for wall in scene.walls.clone() {
        scene.attack(Some(wall)).await;
    }
    scene.bomb().await;
    scene.fill_the_disk().await;
    scene.strike().await;
}

struct Scene {
    walls: Walls,
    bench: Processes,
    victim: Arc<dyn Sandbox>,
    target: Value,
    _machine: (TcpListener, Option<TcpListener>, UnixListener),
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn set() -> Self {
        let options = ProcessOptions::new(vec![init()]);
        let report = options.probe().unwrap();
        println!("{report}");
        let walls = report.standing;
        let bench = Processes::from(ProcessOptions { walls: walls.clone(), ..options });
        let server = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let server6 = TcpListener::bind(("::1", port)).ok();
        let name = format!("agentcore-escape-{port}");
        let abstract_socket = SocketAddr::from_abstract_name(&name).unwrap();
        let abstract_socket = UnixListener::bind_addr(&abstract_socket).unwrap();
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        fs::write(folder.path().join("file"), "for everybody").unwrap();
        share_memory(true);

        let spec = SandboxSpec { network: NetworkMode::Egress, ..bench.program(PYTHON, &["-uc", VICTIM]) };
        let victim = bench.run(&spec).await;
        crate::bench::until("the victim serves", || log(&*victim).contains("at ")).await;
        let address = log(&*victim).trim_start_matches("at ").trim().to_owned();
        let record: Value =
            serde_json::from_slice(&fs::read(spec.folder.join("init.json")).unwrap()).unwrap();
        let target = json!({
            "folder": victim.folder(),
            "pid": record["agent_pid"],
            "host_pid": std::process::id(),
            "machine_file": folder.path().join("file"),
            "machine_folder": folder.path(),
            "machine_port": port,
            "machine_address": MACHINE,
            "host_name": fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim(),
            "shared_memory": shared_memory(),
            "session_address": address,
            "session_port": 7000,
            "abstract_socket": name,
            "code": bench.code(),
        });
        Self { walls, bench, victim, target, _machine: (server, server6, abstract_socket), _folder: folder }
    }

    /// Makes all attempts, from behind all walls but this.
    async fn attack(&self, without: Option<Wall>) {
        let mut walls = self.walls.clone();
        if let Some(wall) = without {
            take_out(&mut walls, wall);
        }
        let network = if walls.contains(&Wall::Network) { NetworkMode::Egress } else { NetworkMode::Host };
        let options =
            ProcessOptions { walls, cgroups: CgroupRoots::discover(), ..ProcessOptions::new(vec![init()]) };
        // Behind walls that stood before, where there are such.
        let bench = Processes::ready(options, network).await;
        let mut spec = bench.program(PYTHON, &[]);
        let mut target = self.target.clone();
        target["own_folder"] = spec.folder.to_str().into();
        spec.args = ["-uc", ATTACKS, &target.to_string()].map(OsString::from).into();
        spec.network = network;
        // Makes a control group, whose name is then to be kept from it.
        spec.limits = ResourceLimits { processes: Some(100), ..ResourceLimits::default() };
        let attacker = bench.run(&spec).await;
        end_of(&*attacker).await;
        for mut outcome in outcomes(&*attacker) {
            outcome.without = without.map(|wall| wall.name().to_owned());
            say(&outcome);
        }
    }

    /// The same by a command that runs beside the agent. Only what gets out is told.
    async fn attack_by_command(&self) {
        let bench = self.walled(CgroupRoots::discover());
        fs::write(bench.code().join("attacks.py"), ATTACKS).unwrap();
        let mut spec = bench.shell("exec sleep 1000");
        spec.network = NetworkMode::Egress;
        spec.limits = ResourceLimits { processes: Some(100), ..ResourceLimits::default() };
        let mut target = self.target.clone();
        target["own_folder"] = spec.folder.to_str().into();
        let attacker = bench.run(&spec).await;
        let shell = format!("exec {PYTHON} -u attacks.py '{target}' 2>&1");
        let mut attack = attacker.exec(&ExecCommand { shell }).await.unwrap();
        let mut said = String::new();
        attack.stdout.read_to_string(&mut said).await.unwrap();
        assert_eq!(attack.exit.await.unwrap(), ExitStatus::Code(0), "{said}");
        for outcome in outcomes(&*attacker).into_iter().filter(Outcome::escaped) {
            say(&Outcome { attempt: format!("{}, by a command", outcome.attempt), ..outcome });
        }
        kill(&*attacker).await;
    }

    /// Has sandboxes with limits use all that they can get.
    async fn bomb(&self) {
        let roots = CgroupRoots::discover();
        let has = roots.enforceable();
        let bench = self.walled(roots);
        let limits = ResourceLimits {
            memory_bytes: has.memory.then_some(96 << 20),
            processes: Some(60),
            log_bytes: Some(LOG_BYTES),
            ..ResourceLimits::default()
        };
        for (bomb, can_be_limited) in [
            ("forks", true),
            ("memory", has.memory),
            ("descriptors", true),
            ("log", true),
            ("memory_files", true),
        ] {
            if !can_be_limited {
                println!("not tried without control groups: {bomb}");
                continue;
            }
            let spec = SandboxSpec { limits, ..bench.program(PYTHON, &["-uc", BOMBS, bomb]) };
            let sandbox = bench.run(&spec).await;
            end_of(&*sandbox).await;
            let said = log(&*sandbox);
            let mut outcome = last_outcome(&said).unwrap_or_else(|| panic!("no word of {bomb}: {said}"));
            if outcome.result == "tried" {
                judge_log(&mut outcome, &IncarnationFolder::new(&spec.folder));
            }
            say(&outcome);
        }
    }

    /// Has sandboxes fill the disk, with the limit and without.
    async fn fill_the_disk(&self) {
        let bench = self.walled(CgroupRoots::default());
        for (bomb, attempt) in DISK_BOMBS {
            for (disk_bytes, without) in [(Some(16 << 20), None), (None, Some("limits".to_owned()))] {
                // Long enough for any machine to have looked.
                let patience = if disk_bytes.is_some() { "25" } else { "0" };
                let limits = ResourceLimits { disk_bytes, ..ResourceLimits::default() };
                let spec = SandboxSpec { limits, ..bench.program(PYTHON, &["-uc", BOMBS, bomb, patience]) };
                let sandbox = bench.run(&spec).await;
                let exit = end_of(&*sandbox).await;
                let ended = exit.over_disk_limit.map(|limit| Outcome {
                    attempt: attempt.to_owned(),
                    wall: "limits".to_owned(),
                    result: "stopped".to_owned(),
                    by: format!("ended beyond {limit} bytes"),
                    without: None,
                });
                let said = log(&*sandbox);
                let outcome = ended.or_else(|| last_outcome(&said));
                say(&Outcome { without, ..outcome.unwrap_or_else(|| panic!("no word of {bomb}: {said}")) });
            }
        }
    }

    fn walled(&self, cgroups: CgroupRoots) -> Processes {
        let walls = self.walls.clone();
        Processes::from(ProcessOptions { walls, cgroups, ..ProcessOptions::new(vec![init()]) })
    }

    /// Stops a session that tries to leave something behind.
    async fn strike(&self) {
        let bench = self.walled(CgroupRoots::discover());
        let sandbox = bench.run(&bench.program(PYTHON, &["-uc", BOMBS, "stay"])).await;
        until_logged(&*sandbox, "hidden").await;
        kill(&*sandbox).await;
        let left = bench.left_over();
        say(&Outcome {
            attempt: "leave a process behind".to_owned(),
            wall: "pid".to_owned(),
            result: if left.is_empty() { "stopped" } else { "escaped" }.to_owned(),
            by: if left.is_empty() { "ended with the session".to_owned() } else { format!("{left:?}") },
            without: None,
        });
    }
}

/// What an attacker has written down.
fn outcomes(attacker: &dyn Sandbox) -> Vec<Outcome> {
    let folder = IncarnationFolder::new(attacker.folder());
    let said = fs::read_to_string(folder.work().join("outcomes")).unwrap_or_else(|_| log(attacker));
    let lines: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let (end, attempts) = lines.split_last().unwrap_or_else(|| panic!("no attempt was made: {said}"));
    assert_eq!(end["attempts"], attempts.len(), "the attempts were cut short: {said}");
    let judged = attempts.iter().map(|attempt| {
        let mut outcome: Outcome = serde_json::from_value(attempt.clone()).unwrap();
        judge(&mut outcome, &folder);
        outcome
    });
    judged.collect()
}

// And what cannot stand without it.
fn take_out(walls: &mut Walls, wall: Wall) {
    walls.remove(&wall);
    match wall {
        // The namespaces of any other kind need one of users.
        Wall::User => walls.retain(|it| [Wall::Capabilities, Wall::Seccomp, Wall::Landlock].contains(it)),
        // A root has a /proc, which shows the processes of a namespace.
        Wall::Pid => drop(walls.remove(&Wall::Mount)),
        // It stands behind the root, and holds what gets past that.
        Wall::Landlock => drop(walls.remove(&Wall::Mount)),
        _ => {}
    }
}

// What an attacker has done to files of the host shows outside alone.
fn judge(outcome: &mut Outcome, folder: &IncarnationFolder) {
    if outcome.result != "tried" {
        return;
    }
    let replaced = match outcome.by.as_str() {
        "log" => fs::symlink_metadata(folder.log()).is_ok_and(|log| log.is_symlink()),
        _ => fs::read_to_string(folder.path().join("exit")).is_ok_and(|text| !text.contains("boot_id")),
    };
    outcome.result = if replaced { "escaped" } else { "stopped" }.to_owned();
    outcome.by = if replaced { "it is not what the host wrote" } else { "it was not the host's" }.to_owned();
}

// The newest of a flood is kept, up to the bound.
fn judge_log(outcome: &mut Outcome, folder: &IncarnationFolder) {
    let sizes = [folder.log(), folder.older_log()].map(|log| fs::metadata(log).map_or(0, |it| it.len()));
    let taken: u64 = sizes.iter().sum();
    outcome.result = if taken <= LOG_BYTES { "stopped" } else { "escaped" }.to_owned();
    outcome.by = format!("{taken} bytes are kept");
}

impl Drop for Scene {
    fn drop(&mut self) {
        share_memory(false);
        // The victim goes with everything of its bench; this only makes it sooner.
        let _ = self.victim.stop(agentcore_sandbox::StopSignal::Kill);
        let ended = || self.bench.left_over().is_empty();
        while !std::thread::panicking() && !ended() {
            std::thread::yield_now();
        }
    }
}

// Each suite's own: several may run on a machine.
fn shared_memory() -> u32 {
    0x0a00_0000 + std::process::id()
}

// A segment of System V shared memory that everybody may use.
fn share_memory(there: bool) {
    let script = "
import ctypes, sys
libc, there = ctypes.CDLL(None), sys.argv[2] == 'true'
segment = libc.shmget(int(sys.argv[1]), 4096, 0o1666 if there else 0)
if not there: libc.shmctl(segment, 0, None)
";
    let status =
        Command::new(PYTHON).args(["-c", script, &shared_memory().to_string(), &there.to_string()]).status();
    assert!(status.unwrap().success());
}
