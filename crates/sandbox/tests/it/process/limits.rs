//! Limits where the machine's own control groups can be written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentcore_sandbox::{
    CgroupRoots, EnforceableLimits, ExitStatus, IncarnationFolder, ResourceLimits, Wall,
};

use crate::bench::{Bench as _, Processes, end_of, kill, log, standing, until, until_logged};

fn enforced(wanted: impl Fn(EnforceableLimits) -> bool) -> Option<Processes> {
    let roots = CgroupRoots::discover();
    let enforced = wanted(roots.enforceable());
    if !enforced {
        println!("skipped: no control group can be written here");
    }
    enforced.then(|| Processes::with(roots))
}

#[tokio::test]
async fn an_agent_that_eats_memory_is_ended_and_it_is_said_why() {
    let Some(bench) = enforced(|limits| limits.memory) else { return };
    let mut spec = bench.python("hoard = []\nwhile True: hoard.append(bytearray(1 << 20))");
    spec.limits = ResourceLimits { memory_bytes: Some(64 << 20), ..ResourceLimits::default() };
    let exit = end_of(&*bench.run(&spec).await).await;
    assert_eq!(exit.status, ExitStatus::Signal(9));
    assert!(exit.out_of_memory);
}

#[tokio::test]
async fn a_child_that_eats_memory_is_named_too() {
    let Some(bench) = enforced(|limits| limits.memory) else { return };
    let hoard = "python3 -c 'hoard = []\nwhile True: hoard.append(bytearray(1 << 20))'";
    let mut spec = bench.shell(&format!("{hoard}; exit 6"));
    spec.limits = ResourceLimits { memory_bytes: Some(64 << 20), ..ResourceLimits::default() };
    let exit = end_of(&*bench.run(&spec).await).await;
    assert_eq!(exit.status, ExitStatus::Code(6));
    assert!(exit.out_of_memory);
}

#[tokio::test]
async fn a_fork_bomb_stays_within_its_bound() {
    let Some(bench) = enforced(|limits| limits.processes) else { return };
    bomb(&bench).await;
}

#[tokio::test]
async fn a_fork_bomb_stays_within_its_bound_without_control_groups() {
    if !standing().contains(&Wall::User) {
        println!("skipped: there are no user namespaces");
        return;
    }
    bomb(&Processes::new()).await;
}

async fn bomb(bench: &Processes) {
    let bomb = "
import os, time
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError:
        if os.getppid() != 1: print('bound', flush=True)
        time.sleep(0.01)
";
    let mut spec = bench.python(bomb);
    spec.limits = ResourceLimits { processes: Some(30), ..ResourceLimits::default() };
    let sandbox = bench.run(&spec).await;
    until_logged(&*sandbox, "bound").await;
    // On a busy machine the process that led the agent behind its walls may not have left yet.
    until("it is within its bound", || sandbox.usage().unwrap().processes <= 30).await;
    kill(&*sandbox).await;
}

#[tokio::test]
async fn processor_time_is_shared_out() {
    let Some(bench) = enforced(|limits| limits.cpus) else { return };
    let busy = "
import time
start, used = time.monotonic(), time.process_time()
while time.monotonic() - start < 0.5: pass
print('used', (time.process_time() - used) < 0.35)
";
    let mut spec = bench.python(busy);
    spec.limits = ResourceLimits { cpus: Some(0.2), ..ResourceLimits::default() };
    let sandbox = bench.run(&spec).await;
    end_of(&*sandbox).await;
    assert_eq!(log(&*sandbox), "used True\n");
}

#[tokio::test]
async fn groups_are_removed_with_the_sandbox() {
    let Some(bench) = enforced(|limits| limits.memory && limits.processes) else { return };
    let mut spec = bench.shell("exec sleep 1000");
    spec.limits = ResourceLimits {
        memory_bytes: Some(64 << 20),
        processes: Some(10),
        cpus: Some(1.0),
        ..ResourceLimits::default()
    };
    let sandbox = bench.run(&spec).await;
    let groups = groups(&spec.folder);
    assert!(!groups.is_empty() && groups.iter().all(|group| group.exists()), "{groups:?}");
    kill(&*sandbox).await;
    assert!(!groups.iter().any(|group| group.exists()), "{groups:?}");

    let sandbox = bench.run(&spec).await;
    let groups = self::groups(&spec.folder);
    assert!(!groups.is_empty() && groups.iter().all(|group| group.exists()), "{groups:?}");
    crate::bench::kill_init(&spec.folder).await;
    let ended = tokio::time::timeout(Duration::from_secs(30), sandbox.wait()).await.unwrap();
    assert_eq!(ended.status, ExitStatus::Signal(9));
    assert!(!groups.iter().any(|group| group.exists()), "{groups:?}");
}

#[tokio::test]
async fn an_agent_that_may_not_start_leaves_no_group() {
    let roots = CgroupRoots::discover();
    let Some(bench) = enforced(|limits| limits.memory && limits.processes) else { return };
    let mut spec = bench.program("/no/such/program", &[]);
    spec.limits = ResourceLimits { memory_bytes: Some(64 << 20), ..ResourceLimits::default() };
    let of_our_inits = || -> Vec<PathBuf> {
        let roots = [&roots.unified, &roots.memory, &roots.pids].into_iter().flatten();
        let groups =
            roots.flat_map(|root| std::fs::read_dir(root).unwrap().flatten().map(|entry| entry.path()));
        // Those of other tests come and go.
        groups.filter(|group| is_abandoned(group)).collect()
    };
    let before = of_our_inits();
    assert!(bench.kind().start(&spec).await.is_err());
    until("nothing is left", || of_our_inits().iter().all(|group| before.contains(group))).await;
}

/// Whether it is an init's group whose init has ended.
fn is_abandoned(group: &Path) -> bool {
    let name = group.file_name().unwrap().to_string_lossy().into_owned();
    let init = name.strip_prefix("agentcore-init-").and_then(|rest| rest.split('-').next());
    init.is_some_and(|init| !Path::new("/proc").join(init).exists())
}

fn groups(folder: &Path) -> Vec<PathBuf> {
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("init.json")).unwrap()).unwrap();
    let groups = record["cgroups"].as_array().unwrap();
    groups.iter().map(|group| group.as_str().unwrap().into()).collect()
}

fn with_disk(bytes: u64) -> ResourceLimits {
    ResourceLimits { disk_bytes: Some(bytes), ..ResourceLimits::default() }
}

#[tokio::test]
async fn an_agent_that_keeps_too_much_on_disk_is_ended_and_it_is_said_why() {
    let bench = Processes::new();
    let fill = "
import itertools, os
for number in itertools.count():
    with open(f'{os.environ[\"TMPDIR\"]}/{number}', 'wb') as file: file.write(bytes(1 << 20))
    if number == 500: break
";
    let mut spec = bench.python(&format!("{fill}\nimport time; time.sleep(1000)"));
    spec.limits = with_disk(64 << 20);
    let sandbox = bench.run(&spec).await;
    let exit = end_of(&*sandbox).await;
    assert_eq!((exit.status, exit.over_disk_limit), (ExitStatus::Signal(9), Some(64 << 20)));
    let said = log(&*sandbox);
    assert!(said.contains("agentcore: ended, because its folders held more than 67108864 bytes"), "{said}");
}

#[tokio::test]
async fn what_a_command_keeps_on_disk_counts() {
    let bench = Processes::new();
    let mut spec = bench.shell("exec sleep 1000");
    spec.limits = with_disk(8 << 20);
    let sandbox = bench.run(&spec).await;
    let fill =
        "i=0; while [ $i -lt 20 ]; do head -c 1000000 /dev/zero >$HOME/$i; i=$((i + 1)); done".to_owned();
    let _command = sandbox.exec(&agentcore_sandbox::ExecCommand { shell: fill }).await.unwrap();
    assert_eq!(end_of(&*sandbox).await.over_disk_limit, Some(8 << 20));
}

#[tokio::test]
async fn whoever_writes_one_file_beyond_the_limit_learns_of_it() {
    let bench = Processes::new();
    let write = "
try:
    with open('file', 'wb') as file:
        while True: file.write(bytes(1 << 20))
except OSError as error: print(error.strerror, flush=True)
";
    let mut spec = bench.python(write);
    spec.limits = with_disk(4 << 20);
    let sandbox = bench.run(&spec).await;
    let exit = end_of(&*sandbox).await;
    assert_eq!(log(&*sandbox), "File too large\n");
    assert_eq!(exit.status, ExitStatus::Code(0));
    let file = IncarnationFolder::new(&spec.folder).work().join("file");
    assert_eq!(std::fs::metadata(file).unwrap().len(), 15 << 18);
}

#[tokio::test]
async fn a_bound_that_is_kept_disturbs_nobody() {
    let bench = Processes::new();
    let mut spec = bench.shell("head -c 1000000 /dev/zero >file; exit 3");
    spec.limits = with_disk(1 << 30);
    let exit = end_of(&*bench.run(&spec).await).await;
    assert_eq!((exit.status, exit.over_disk_limit), (ExitStatus::Code(3), None));
}
