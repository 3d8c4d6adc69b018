//! What is made before anybody asks for it, and when it is not used.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use agentcore_sandbox::{NetworkMode, ProcessOptions, ResourceLimits, Sandbox, SandboxSpec, Wall};
use serde_json::Value;

use crate::bench::{
    Agent, Bench, Processes, ask, end_of, init, kill, log, prepares, standing, until, until_logged,
};
use crate::lab::{Lab, OUTSIDE, skipped};

/// A bench with an enclosure that waits for a session on the host's network, and its inner process.
async fn prepared() -> Option<(Processes, i32)> {
    prepared_by(vec![init()]).await
}

async fn prepared_by(init: Vec<std::ffi::OsString>) -> Option<(Processes, i32)> {
    if !prepares(&standing()) {
        return skipped("walls are put up beforehand as root, where they stand");
    }
    let options = ProcessOptions { walls: standing(), ..ProcessOptions::new(init) };
    let bench = Processes::ready(options, NetworkMode::Host).await;
    let inner = bench.until_ready().await?;
    Some((bench, inner))
}

fn record(sandbox: &dyn Sandbox) -> Value {
    serde_json::from_slice(&std::fs::read(sandbox.folder().join("init.json")).unwrap()).unwrap()
}

fn is_there(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_session_has_the_enclosure_that_was_waiting_for_it() {
    let Some((bench, waiting)) = prepared().await else { return };
    let sandbox = bench.start(Agent::Counts).await;
    assert_eq!(record(&*sandbox)["inner_pid"], waiting);
    assert_eq!(ask(&*sandbox, "x").await, "1 x");
    // The next is another.
    let next = bench.until_ready().await.unwrap();
    assert_ne!(next, waiting);
    let other = bench.start(Agent::Counts).await;
    assert_eq!(record(&*other)["inner_pid"], next);
    kill(&*sandbox).await;
    kill(&*other).await;
}

#[tokio::test]
async fn what_one_order_alone_asks_for_is_put_into_what_was_waiting() {
    let Some((bench, waiting)) = prepared().await else { return };
    std::fs::write(bench.code().join("word"), "code").unwrap();
    let shown = tempfile::tempdir().unwrap();
    std::fs::write(shown.path().join("word"), "shown").unwrap();
    let shown = shown.path().to_str().unwrap();
    let script = format!(
        "cat $1/word {shown}/word; stat -fc ' %b %S' /tmp; touch /x /etc/x $1/x {shown}/x; cp $1/word ~/word; id -u"
    );
    let code = bench.code();
    let mut spec = bench.program("/bin/sh", &["-c", &script, "sh", code.to_str().unwrap()]);
    spec.read_only.push(shown.into());
    spec.limits = ResourceLimits { memory_bytes: Some(64 << 20), ..ResourceLimits::default() };
    let sandbox = bench.run(&spec).await;
    end_of(&*sandbox).await;
    let log = log(&*sandbox);
    assert_eq!(record(&*sandbox)["inner_pid"], waiting);
    assert!(log.starts_with("codeshown 8192 4096\n") && log.ends_with("1000\n"), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("touch")).count(), 4, "{log}");
}

#[tokio::test]
async fn an_order_for_another_network_gets_what_it_asks_for() {
    let Some((bench, waiting)) = prepared().await else { return };
    let spec = SandboxSpec { network: NetworkMode::None, ..bench.spec(Agent::Counts) };
    let sandbox = bench.run(&spec).await;
    let inner = record(&*sandbox)["inner_pid"].clone();
    assert_ne!(inner, waiting);
    let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_ne!(network(&inner.to_string()), network("self"));
    assert_eq!(ask(&*sandbox, "x").await, "1 x");
    until("what was waiting is gone", || !is_there(waiting)).await;
    // The one after that is expected to ask for the same.
    let next = bench.until_ready().await.unwrap();
    let other = bench.run(&SandboxSpec { folder: bench.next_folder(), ..spec }).await;
    assert_eq!(record(&*other)["inner_pid"], next);
    kill(&*sandbox).await;
    kill(&*other).await;
}

#[tokio::test]
async fn a_way_outside_waits_as_long_as_the_machine_has_the_same_addresses() {
    let Some(lab) = Lab::new() else { return };
    let options = ProcessOptions::new([lab.on_machine(), vec![init()]].concat());
    let walls = options.probe().unwrap().standing;
    if !prepares(&walls) || !walls.contains(&Wall::Network) {
        return skipped("no network of its own can be made beforehand").unwrap_or_default();
    }
    let bench = Processes::ready(ProcessOptions { walls, ..options }, NetworkMode::Egress).await;
    let script = format!(
        "import socket; print(socket.create_connection(('{OUTSIDE}', 80), timeout=5).recv(100).decode())"
    );
    for is_changed in [false, true] {
        let waiting = bench.until_ready().await.unwrap();
        if is_changed {
            lab.add_address([192, 0, 2, 77].into());
        }
        let spec = SandboxSpec { network: NetworkMode::Egress, ..bench.python(&script) };
        let sandbox = bench.run(&spec).await;
        end_of(&*sandbox).await;
        assert_eq!(log(&*sandbox), "outside\n");
        assert_eq!(record(&*sandbox)["inner_pid"] == waiting, !is_changed);
    }
}

#[tokio::test]
async fn what_is_mounted_while_it_waits_is_seen() {
    let command = ["/usr/bin/unshare", "--mount", "--propagation", "private"].map(Into::into);
    let Some((bench, waiting)) = prepared_by([&command[..], &[init()]].concat()).await else { return };
    let init = crate::bench::status(waiting, "PPid:");
    let mount = ["--target", &init, "--mount", "mount", "-t", "tmpfs", "none", "/usr/local"];
    assert!(Command::new("/usr/bin/nsenter").args(mount).status().unwrap().success());
    let sandbox = bench.run(&bench.shell("ls -A /usr/local | wc -l; ls /usr/bin/env")).await;
    end_of(&*sandbox).await;
    assert_eq!(log(&*sandbox), "0\n/usr/bin/env\n");
    assert_ne!(record(&*sandbox)["inner_pid"], waiting);
}

#[tokio::test]
async fn what_is_put_in_the_place_of_a_file_while_it_waits_is_seen() {
    let command = ["/usr/bin/unshare", "--mount", "--propagation", "private"].map(Into::into);
    let Some((bench, waiting)) = prepared_by([&command[..], &[init()]].concat()).await else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "of today").unwrap();
    std::fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
    let init = crate::bench::status(waiting, "PPid:");
    let path = file.path().to_str().unwrap();
    let mount = ["--target", &init, "--mount", "mount", "--bind", path, "/etc/nsswitch.conf"];
    assert!(Command::new("/usr/bin/nsenter").args(mount).status().unwrap().success());
    let sandbox = bench.run(&bench.shell("cat /etc/nsswitch.conf")).await;
    end_of(&*sandbox).await;
    assert_eq!(log(&*sandbox), "of today");
}

#[tokio::test]
async fn an_enclosure_that_fell_while_it_waited_is_made_again() {
    let Some((bench, waiting)) = prepared().await else { return };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(waiting), nix::sys::signal::SIGKILL).unwrap();
    until("it has fallen", || crate::bench::status(waiting, "State:").starts_with('Z')).await;
    let sandbox = bench.start(Agent::Counts).await;
    assert_ne!(record(&*sandbox)["inner_pid"], waiting);
    assert_eq!(ask(&*sandbox, "x").await, "1 x");
    kill(&*sandbox).await;
}

#[tokio::test]
async fn two_that_begin_at_once_both_begin() {
    let Some((bench, waiting)) = prepared().await else { return };
    let (one, other) = tokio::join!(bench.start(Agent::Counts), bench.start(Agent::Counts));
    let inners = [&one, &other].map(|sandbox| record(&**sandbox)["inner_pid"].clone());
    assert_eq!(inners.iter().filter(|inner| **inner == waiting).count(), 1, "{inners:?}");
    for sandbox in [one, other] {
        assert_eq!(ask(&*sandbox, "x").await, "1 x");
        kill(&*sandbox).await;
    }
}

#[tokio::test]
async fn a_folder_that_had_a_life_before_is_still_its_agents() {
    let Some((bench, _)) = prepared().await else { return };
    let spec = bench.shell("echo life >> ~/lives && wc -l < ~/lives; exec sleep 1000");
    for lives in ["1", "2"] {
        bench.until_ready().await;
        let sandbox = bench.run(&spec).await;
        until_logged(&*sandbox, lives).await;
        kill(&*sandbox).await;
    }
}

#[tokio::test]
async fn nothing_that_waits_outlives_its_host() {
    let Some((bench, waiting)) = prepared().await else { return };
    assert_eq!(bench.inits(), 2, "init and the inner process");
    drop(bench);
    until("both have left", || !is_there(waiting)).await;
}
