//! Whatever an agent starts ends with it.

use agentcore_sandbox::{ExitStatus, Sandbox, StopSignal};

use crate::bench::{Bench, Processes, end_of, kill, log, until, until_logged};

// Two generations away, in a session of its own, deaf, and with its own idea of an environment.
const DAEMON: &str = r"
import os, signal, sys, time
def daemonize():
    if os.fork(): return
    os.setsid()
    if os.fork(): os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, b'daemon %d\n' % os.getpid())
    time.sleep(1000)
daemonize()
daemonize()
";

fn daemons(sandbox: &dyn Sandbox) -> Vec<String> {
    let log = log(sandbox);
    log.lines().filter_map(|line| line.strip_prefix("daemon ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn double_forked_daemons_are_killed_with_the_agent() {
    let bench = Processes::new();
    let sandbox = bench.run(&bench.python(&format!("{DAEMON}\ntime.sleep(1000)"))).await;
    until("two daemons", || daemons(&*sandbox).len() == 2).await;
    until("all counted", || sandbox.usage().unwrap().processes == 3).await;
    assert_eq!(kill(&*sandbox).await.status, ExitStatus::Signal(9));
    assert!(bench.left_over().is_empty());
}

#[tokio::test]
async fn daemons_do_not_outlive_an_agent_that_leaves() {
    let bench = Processes::new();
    let script = format!("{DAEMON}\nimport socket; socket.socket(fileno=3).accept(); sys.exit(7)");
    let sandbox = bench.run(&bench.python(&script)).await;
    until("two daemons", || daemons(&*sandbox).len() == 2).await;
    drop(sandbox.connect().await.unwrap());
    assert_eq!(end_of(&*sandbox).await.status, ExitStatus::Code(7));
    assert!(bench.left_over().is_empty());
}

#[tokio::test]
async fn a_polite_stop_goes_to_the_agent_alone() {
    let bench = Processes::new();
    let script = "trap 'echo asked; kill $!; exit 4' TERM\n\
        sh -c 'trap \"echo child asked\" TERM; echo up; while :; do sleep 0.01; done' &\nwait";
    let sandbox = bench.run(&bench.shell(script)).await;
    until_logged(&*sandbox, "up").await;
    sandbox.stop(StopSignal::Terminate).unwrap();
    assert_eq!(end_of(&*sandbox).await.status, ExitStatus::Code(4));
    assert!(log(&*sandbox).contains("asked"));
}

#[tokio::test]
async fn a_program_that_keeps_forking_is_caught() {
    let bench = Processes::new();
    // Each generation lives for a moment and leaves two of the next, up to a bound.
    let script = "
import os, time
print('up')
for _ in range(60):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork(): os._exit(0)
while True: os.waitpid(-1, 0)
";
    let sandbox = bench.run(&bench.python(script)).await;
    until_logged(&*sandbox, "up").await;
    assert_eq!(kill(&*sandbox).await.status, ExitStatus::Signal(9));
}

#[tokio::test]
async fn when_init_is_killed_nothing_of_the_agent_stays() {
    let bench = Processes::new();
    let spec = bench.python(&format!("{DAEMON}\ntime.sleep(1000)"));
    let sandbox = bench.run(&spec).await;
    until("two daemons", || daemons(&*sandbox).len() == 2).await;
    crate::bench::kill_init(&spec.folder).await;
    let exit = end_of(&*sandbox).await;
    assert_eq!(exit.status, ExitStatus::Signal(9));
    assert!(bench.left_over().is_empty());
    let agentcore_sandbox::Adopted::Exited(found) = bench.kind().adopt(&spec.folder).await.unwrap() else {
        panic!("it has not exited")
    };
    assert_eq!(found, exit);
}
