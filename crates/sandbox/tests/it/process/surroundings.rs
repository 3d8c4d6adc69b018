//! What an agent finds when it wakes up.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use agentcore_sandbox::{ExitStatus, IncarnationFolder, ResourceLimits};

use crate::bench::{Bench, Processes, end_of, kill, log, until_logged};

#[tokio::test]
async fn only_what_was_declared_is_in_the_environment() {
    let bench = Processes::new();
    let mut spec = bench.program("/usr/bin/env", &[]);
    spec.env.insert("HOME".into(), "/root".into());
    spec.env.insert("LISTEN_FDS".into(), "9".into());
    spec.env.insert("GREETING".into(), "hello".into());
    let sandbox = bench.run(&spec).await;
    end_of(&*sandbox).await;
    let log = log(&*sandbox);
    let mut names: Vec<_> = log.lines().map(|line| line.split('=').next().unwrap()).collect();
    names.sort();
    let declared = ["GREETING", "PATH"];
    let ours = [
        "AGENTCORE_JOURNAL_DIR",
        "AGENTCORE_SANDBOX",
        "HOME",
        "LISTEN_FDS",
        "LISTEN_PID",
        "PORT",
        "PWD",
        "TMPDIR",
    ];
    let mut expected = [&declared[..], &ours[..]].concat();
    expected.sort();
    assert_eq!(names, expected);
    let folder = spec.folder.display();
    for line in [
        "GREETING=hello".to_owned(),
        "LISTEN_FDS=1".to_owned(),
        format!("HOME={folder}/home"),
        format!("TMPDIR={folder}/tmp"),
        format!("AGENTCORE_JOURNAL_DIR={folder}/journal"),
    ] {
        assert!(log.lines().any(|logged| logged == line), "no {line} in {log}");
    }
}

#[tokio::test]
async fn the_socket_is_meant_for_the_agent_itself() {
    let bench = Processes::new();
    let sandbox = bench.run(&bench.shell("test $LISTEN_PID = $$ && test -S /proc/self/fd/3")).await;
    assert_eq!(end_of(&*sandbox).await.status, ExitStatus::Code(0));
}

#[tokio::test]
async fn nothing_else_is_inherited() {
    let bench = Processes::new();
    let sandbox = bench.run(&bench.python("import os; print(sorted(os.listdir('/proc/self/fd')))")).await;
    end_of(&*sandbox).await;
    // The fourth is the listing's own.
    assert_eq!(log(&*sandbox), "['0', '1', '2', '3', '4']\n");
}

#[tokio::test]
async fn an_agent_leads_a_group_of_its_own_in_a_session_of_its_own() {
    let bench = Processes::new();
    let sandbox = bench
        .run(&bench.python("import os; print(os.getpid() == os.getpgrp(), os.getsid(0) == os.getppid())"))
        .await;
    end_of(&*sandbox).await;
    assert_eq!(log(&*sandbox), "True True\n");
}

#[tokio::test]
async fn the_code_is_at_hand_and_new_files_are_the_sessions_own() {
    let bench = Processes::new();
    fs::create_dir(bench.code().join("data")).unwrap();
    fs::write(bench.code().join("data/word"), "found\n").unwrap();
    let sandbox = bench.run(&bench.shell("cat data/word; echo new > written; ls")).await;
    end_of(&*sandbox).await;
    assert_eq!(log(&*sandbox), "found\ndata\nwritten\n");
    assert!(!bench.code().join("written").exists());
    let folder = IncarnationFolder::new(sandbox.folder());
    assert!(folder.work().join("written").exists());
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path().to_owned()), 0o700);
    assert_eq!(mode(folder.log()), 0o600);
}

#[tokio::test]
async fn a_flood_of_output_is_bounded_and_its_end_is_kept() {
    let bench = Processes::new();
    let mut spec = bench.shell("seq 1 2000000; echo the end");
    spec.limits = ResourceLimits { log_bytes: Some(200_000), ..ResourceLimits::default() };
    let sandbox = bench.run(&spec).await;
    end_of(&*sandbox).await;
    let folder = IncarnationFolder::new(&spec.folder);
    let size = |path| fs::metadata(path).unwrap().len();
    assert!(size(folder.log()) + size(folder.older_log()) <= 200_000);
    assert!(log(&*sandbox).ends_with("2000000\nthe end\n"));
    assert_eq!(sandbox.log_tail(16).unwrap(), b"2000000\nthe end\n");
}

#[tokio::test]
async fn bytes_that_are_no_text_are_kept_too() {
    let bench = Processes::new();
    let sandbox = bench.run(&bench.shell(r"printf '\377\000end'; exec sleep 1000")).await;
    crate::bench::until("it wrote", || sandbox.log_tail(10).unwrap() == b"\xff\0end").await;
    kill(&*sandbox).await;
}

#[tokio::test]
async fn what_an_agent_says_is_in_the_log_at_once() {
    let bench = Processes::new();
    let sandbox = bench.run(&bench.shell("echo now; exec sleep 1000")).await;
    until_logged(&*sandbox, "now").await;
    kill(&*sandbox).await;
}
