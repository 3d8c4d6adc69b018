//! Hosts that die, and hosts that come after them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use agentcore_sandbox::{Adopted, ExitStatus, ProcessKind, ProcessOptions, Sandbox, SandboxKind};

use crate::bench::{self, Agent, Bench, Processes, ask, end_of, kill, log, until, until_logged};

const FOLDER: &str = "AGENTCORE_TEST_HOST_FOLDER";

/// No test by itself: another test runs it as a process of its own, to kill it.
#[tokio::test]
#[ignore = "it is the host that other tests kill"]
async fn as_a_host() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let bench = Processes::new();
    let mut spec = bench.spec(Agent::Counts);
    spec.folder = folder.into();
    let _sandbox = bench.run(&spec).await;
    std::future::pending::<()>().await;
}

fn host(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "process::hosts::as_a_host"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn kill_host(mut host: Child) {
    host.kill().unwrap();
    host.wait().unwrap();
}

async fn adopted(bench: &Processes, folder: &Path) -> std::sync::Arc<dyn Sandbox> {
    match bench.kind().adopt(folder).await.unwrap() {
        Adopted::Running(sandbox) => sandbox,
        Adopted::Exited(exit) => panic!("it has ended: {exit:?}"),
        Adopted::Gone => panic!("it is gone"),
    }
}

#[tokio::test]
async fn an_agent_outlives_a_host_that_is_killed() {
    let bench = Processes::new();
    let folder = bench.next_folder();
    let first = host(&folder);
    until("it is started", || folder.join("init.json").exists()).await;
    kill_host(first);
    let sandbox = adopted(&bench, &folder).await;
    assert_eq!(ask(&*sandbox, "one").await, "1 one");
    drop(sandbox);
    let sandbox = adopted(&bench, &folder).await;
    assert_eq!(ask(&*sandbox, "two").await, "2 two");
    // What it writes is still taken down.
    until_logged(&*sandbox, "serving").await;
    assert!(sandbox.usage().unwrap().processes >= 1);
    assert_eq!(kill(&*sandbox).await.status, ExitStatus::Signal(9));
}

#[tokio::test]
async fn an_end_without_a_host_is_found_afterwards() {
    let bench = Processes::new();
    let folder = bench.next_folder();
    let first = host(&folder);
    until("it is started", || folder.join("init.json").exists()).await;
    kill_host(first);
    bench::kill_init(&folder).await;
    let Adopted::Exited(exit) = bench.kind().adopt(&folder).await.unwrap() else { panic!("not ended") };
    assert_eq!(exit.status, ExitStatus::Signal(9));
    assert!(bench.left_over().is_empty());
    let Adopted::Exited(again) = bench.kind().adopt(&folder).await.unwrap() else { panic!("not ended") };
    assert_eq!(exit, again);
}

#[tokio::test]
async fn a_host_killed_in_the_middle_of_a_start_leaves_a_sandbox_or_none() {
    let bench = Processes::new();
    let mut ran = 0;
    for delay in 0..12 {
        let folder = bench.next_folder();
        let first = host(&folder);
        until("it begins", || folder.join("lock").exists()).await;
        tokio::time::sleep(Duration::from_micros(delay * 300)).await;
        kill_host(first);
        match bench.kind().adopt(&folder).await.unwrap() {
            Adopted::Running(sandbox) => {
                ran += 1;
                assert_eq!(ask(&*sandbox, "x").await, "1 x");
                kill(&*sandbox).await;
            }
            Adopted::Gone => {}
            Adopted::Exited(exit) => panic!("it ended by itself: {exit:?}"),
        }
        assert!(bench.left_over().is_empty());
    }
    println!("{ran} of 12 were running");
}

#[tokio::test]
async fn an_init_that_nobody_needed_leaves_with_its_host() {
    let bench = Processes::new();
    let folder = bench.next_folder();
    let host = host(&folder);
    // The one of the session, and the next, which is ready.
    let id = host.id();
    until("the next is ready", || folder.join("init.json").exists() && inits_of(id).len() == 2).await;
    let inits = inits_of(id);
    kill_host(host);
    until("one has left", || inits.iter().filter(|init| is_there(**init)).count() == 1).await;
    let sandbox = adopted(&bench, &folder).await;
    kill(&*sandbox).await;
    until("both have left", || !inits.iter().any(|init| is_there(*init))).await;
}

fn inits_of(host: u32) -> Vec<u32> {
    // Whichever of its threads started them.
    let threads = std::fs::read_dir(format!("/proc/{host}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

#[tokio::test]
async fn what_ran_before_a_reboot_is_gone() {
    let bench = Processes::new();
    let spec = bench.shell("exec sleep 1000");
    let sandbox = bench.run(&spec).await;
    let record = std::fs::read(spec.folder.join("init.json")).unwrap();
    kill(&*sandbox).await;
    // As a power cut leaves it: no lock is held and no exit was written.
    std::fs::remove_file(spec.folder.join("exit")).unwrap();
    std::fs::write(spec.folder.join("init.json"), record).unwrap();
    let proc = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(proc.path().join("sys/kernel/random")).unwrap();
    std::fs::write(proc.path().join("sys/kernel/random/boot_id"), "another\n").unwrap();
    let clock = std::sync::Arc::new(agentcore_protocol::SystemClock);
    let options = ProcessOptions::new(vec![bench::init()]);
    let rebooted = ProcessKind::with_proc(options, clock, proc.path()).unwrap();
    assert!(matches!(rebooted.adopt(&spec.folder).await.unwrap(), Adopted::Gone));
    assert!(matches!(bench.kind().adopt(&spec.folder).await.unwrap(), Adopted::Exited(_)));
}

#[tokio::test]
async fn an_exit_survives_a_reboot() {
    let bench = Processes::new();
    let sandbox = bench.start(Agent::Leaves).await;
    let exit = end_of(&*sandbox).await;
    let proc = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(proc.path().join("sys/kernel/random")).unwrap();
    std::fs::write(proc.path().join("sys/kernel/random/boot_id"), "another\n").unwrap();
    let clock = std::sync::Arc::new(agentcore_protocol::SystemClock);
    let options = ProcessOptions::new(vec![bench::init()]);
    let rebooted = ProcessKind::with_proc(options, clock, proc.path()).unwrap();
    let Adopted::Exited(found) = rebooted.adopt(sandbox.folder()).await.unwrap() else { panic!("not ended") };
    assert_eq!(found, exit);
    assert!(log(&*sandbox).contains("out"));
}
