//! What every kind of sandbox promises.

use std::path::Path;

use agentcore_sandbox::{Adopted, ExecCommand, ExitStatus, StartError, StopSignal};
use tokio::io::AsyncReadExt;

use crate::bench::{Agent, Bench, Closures, Plain, Processes, ask, end_of, kill, log, until_logged};

async fn an_agent_serves_and_keeps_its_memory<B: Bench>() {
    let bench = B::new();
    let sandbox = bench.start(Agent::Counts).await;
    assert_eq!(ask(&*sandbox, "one").await, "1 one");
    assert_eq!(ask(&*sandbox, "two").await, "2 two");
    assert!(sandbox.usage().unwrap().memory_bytes > 0);
    kill(&*sandbox).await;
}

async fn two_sandboxes_share_nothing<B: Bench>() {
    let bench = B::new();
    let (one, two) = (bench.start(Agent::Counts).await, bench.start(Agent::Counts).await);
    assert_ne!(one.folder(), two.folder());
    assert_eq!(ask(&*one, "x").await, "1 x");
    assert_eq!(ask(&*two, "x").await, "1 x");
    kill(&*one).await;
    assert_eq!(ask(&*two, "x").await, "2 x");
    kill(&*two).await;
}

async fn an_exit_is_reported_to_everybody<B: Bench>() {
    let bench = B::new();
    let sandbox = bench.start(Agent::Leaves).await;
    let (first, second) = tokio::join!(end_of(&*sandbox), end_of(&*sandbox));
    assert_eq!(first.status, ExitStatus::Code(3));
    assert!(!first.out_of_memory);
    assert_eq!(first, second);
    assert_eq!(first, end_of(&*sandbox).await);
    let mut lines: Vec<_> = log(&*sandbox).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["error", "out"]);
}

async fn an_ended_agent_is_neither_reached_nor_harmed<B: Bench>() {
    let bench = B::new();
    let sandbox = bench.start(Agent::Leaves).await;
    end_of(&*sandbox).await;
    assert!(sandbox.connect().await.is_err());
    assert!(sandbox.usage().is_err());
    assert!(sandbox.exec(&ExecCommand { shell: "true".into() }).await.is_err());
    sandbox.stop(StopSignal::Terminate).unwrap();
    sandbox.stop(StopSignal::Kill).unwrap();
    assert_eq!(end_of(&*sandbox).await.status, ExitStatus::Code(3));
}

async fn a_polite_stop_is_for_the_agent_to_heed<B: Bench>() {
    let bench = B::new();
    let polite = bench.start(Agent::Counts).await;
    ask(&*polite, "up").await;
    polite.stop(StopSignal::Terminate).unwrap();
    end_of(&*polite).await;

    let deaf = bench.start(Agent::CountsOn).await;
    ask(&*deaf, "up").await;
    deaf.stop(StopSignal::Terminate).unwrap();
    assert_eq!(ask(&*deaf, "still").await, "2 still");
    assert_eq!(kill(&*deaf).await.status, ExitStatus::Signal(9));
}

async fn a_command_runs_inside<B: Bench>() {
    let bench = B::new();
    let sandbox = bench.start(Agent::Counts).await;
    let command = ExecCommand { shell: "echo out; echo error >&2; exit 5".into() };
    let mut execution = sandbox.exec(&command).await.unwrap();
    let (mut out, mut error) = (String::new(), String::new());
    execution.stdout.read_to_string(&mut out).await.unwrap();
    execution.stderr.read_to_string(&mut error).await.unwrap();
    assert_eq!((out.as_str(), error.as_str()), ("out\n", "error\n"));
    assert_eq!(execution.exit.await.unwrap(), ExitStatus::Code(5));
    kill(&*sandbox).await;
}

async fn a_dropped_sandbox_runs_on_and_is_adopted<B: Bench>() {
    let bench = B::new();
    let sandbox = bench.start(Agent::Counts).await;
    assert_eq!(ask(&*sandbox, "before").await, "1 before");
    until_logged(&*sandbox, "serving").await;
    let folder = sandbox.folder().to_owned();
    drop(sandbox);
    let Adopted::Running(adopted) = bench.kind().adopt(&folder).await.unwrap() else {
        panic!("it is not running")
    };
    assert_eq!(adopted.folder(), folder);
    assert_eq!(ask(&*adopted, "after").await, "2 after");
    assert!(log(&*adopted).contains("serving"));
    let exit = kill(&*adopted).await;
    let Adopted::Exited(found) = bench.kind().adopt(&folder).await.unwrap() else {
        panic!("it has not exited")
    };
    assert_eq!(found, exit);
}

async fn what_never_ran_is_gone<B: Bench>() {
    let adopted = B::new().kind().adopt(Path::new("/nowhere/at/all")).await.unwrap();
    assert!(matches!(adopted, Adopted::Gone));
}

async fn a_missing_program_is_an_error_with_its_name<B: Bench>() {
    let bench = B::new();
    let spec = bench.spec_without_program();
    let Err(StartError::Program { program, source }) = bench.kind().start(&spec).await else {
        panic!("it was started")
    };
    assert_eq!(program, spec.program);
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
    assert!(matches!(bench.kind().adopt(&spec.folder).await.unwrap(), Adopted::Gone));
    assert!(!spec.folder.exists());
}

macro_rules! contract {
    ($kind:ident, $bench:ty: $($promise:ident),* $(,)?) => {
        mod $kind {
            use super::*;
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise::<$bench>().await;
                }
            )*
        }
    };
}

macro_rules! all_kinds {
    ($($promise:ident),* $(,)?) => {
        contract!(process, Processes: $($promise),*);
        contract!(plain_process, Plain: $($promise),*);
        contract!(in_memory, Closures: $($promise),*);
    };
}

all_kinds! {
    an_agent_serves_and_keeps_its_memory,
    two_sandboxes_share_nothing,
    an_exit_is_reported_to_everybody,
    an_ended_agent_is_neither_reached_nor_harmed,
    a_polite_stop_is_for_the_agent_to_heed,
    a_command_runs_inside,
    a_dropped_sandbox_runs_on_and_is_adopted,
    what_never_ran_is_gone,
    a_missing_program_is_an_error_with_its_name,
}
