//! Starts that fail say why and leave nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use agentcore_sandbox::{SandboxSpec, StartError};

use crate::bench::{Bench, Processes, kill, until};

async fn error_of(bench: &Processes, spec: &SandboxSpec) -> String {
    match bench.kind().start(spec).await {
        Ok(_) => panic!("it was started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_program_that_is_not_executable() {
    let bench = Processes::new();
    let path = bench.code().join("agent");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let spec = bench.program(path.to_str().unwrap(), &[]);
    let error = error_of(&bench, &spec).await;
    assert_eq!(error, format!("cannot start {}: Permission denied (os error 13)", path.display()));
    assert!(!spec.folder.exists());
}

#[tokio::test]
async fn a_program_that_the_kernel_cannot_run_says_what_is_missing() {
    let bench = Processes::new();
    let path = bench.code().join("agent");
    for (content, problem) in [
        ("echo no interpreter is named\n", "nor a script whose first line names an interpreter"),
        ("#!/bin/surely-not-there\n", "the interpreter in its first line"),
    ] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let error = error_of(&bench, &bench.program(path.to_str().unwrap(), &[])).await;
        assert!(error.starts_with("cannot start ") && error.contains(problem), "{error}");
    }
}

#[tokio::test]
async fn code_that_is_not_there() {
    let bench = Processes::new();
    let spec = SandboxSpec { code: "/nowhere".into(), ..bench.shell("true") };
    let error = error_of(&bench, &spec).await;
    assert!(
        error.starts_with("cannot link the agent's code into the working folder: No such file"),
        "{error}"
    );
    assert!(!spec.folder.exists());
}

#[tokio::test]
async fn a_folder_whose_path_is_too_long_for_a_socket() {
    let bench = Processes::new();
    let mut spec = bench.shell("true");
    spec.folder = spec.folder.join("x".repeat(100));
    let error = error_of(&bench, &spec).await;
    assert!(error.starts_with("cannot bind the agent's socket: "), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_in_use() {
    let bench = Processes::new();
    let spec = bench.shell("exec sleep 1000");
    let sandbox = bench.run(&spec).await;
    let error = error_of(&bench, &spec).await;
    assert!(error.starts_with("cannot lock the sandbox's folder: "), "{error}");
    kill(&*sandbox).await;
}

#[tokio::test]
async fn an_init_that_is_none() {
    let bench = Processes::with_init(vec!["/bin/true".into()]);
    let error = error_of(&bench, &bench.shell("true")).await;
    assert_eq!(error, "cannot hear from the init process: it ended without a word");
    let bench = Processes::with_init(vec!["/nowhere/init".into()]);
    let error = bench.kind().start(&bench.shell("true")).await.err().unwrap();
    assert!(matches!(error, StartError::Setup { step: "start the init process", .. }), "{error}");
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_any_more_is_undone() {
    let bench = Processes::new();
    for millis in 0..10 {
        let spec = bench.shell("exec sleep 1000");
        // However far it got in that time.
        let _ = tokio::time::timeout(Duration::from_millis(millis), async {
            bench.kind().start(&spec).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        // Started just in time, it was dropped, which leaves it running: adopt it to end it.
        if let agentcore_sandbox::Adopted::Running(sandbox) = bench.kind().adopt(&spec.folder).await.unwrap()
        {
            kill(&*sandbox).await;
        }
    }
    until("nothing is left", || bench.left_over().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_start_at_once() {
    let bench = Processes::new();
    let specs: Vec<_> = (0..40).map(|_| bench.shell("exec sleep 1000")).collect();
    let started = futures_util::future::join_all(specs.iter().map(|spec| bench.run(spec))).await;
    assert!(started.iter().all(|sandbox| sandbox.usage().unwrap().processes == 1));
    for sandbox in &started {
        kill(&**sandbox).await;
    }
}
