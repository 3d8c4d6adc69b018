//! Commands that run beside the agent.

use agentcore_sandbox::{ExecCommand, ExitStatus, Sandbox, SandboxSpec};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::bench::{Bench, Processes, end_of, kill, until};

fn idle(bench: &Processes) -> SandboxSpec {
    bench.shell("exec sleep 1000")
}

async fn output_of(sandbox: &dyn Sandbox, shell: &str) -> String {
    let mut execution = sandbox.exec(&ExecCommand { shell: shell.into() }).await.unwrap();
    let mut output = String::new();
    execution.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!(execution.exit.await.unwrap(), ExitStatus::Code(0));
    output
}

#[tokio::test]
async fn a_command_has_the_agents_environment_and_folder() {
    let bench = Processes::new();
    let mut spec = idle(&bench);
    spec.env.insert("GREETING".into(), "hello".into());
    let sandbox = bench.run(&spec).await;
    let output = output_of(&*sandbox, "echo $GREETING $HOME $LISTEN_FDS; pwd").await;
    let folder = spec.folder.display();
    assert_eq!(output, format!("hello {folder}/home\n{folder}/work\n"));
    kill(&*sandbox).await;
}

#[tokio::test]
async fn a_dropped_command_is_killed_with_what_it_started() {
    let bench = Processes::new();
    let sandbox = bench.run(&idle(&bench)).await;
    let shell = "sleep 1000 & setsid sleep 1000 & echo up; wait".to_owned();
    let mut execution = sandbox.exec(&ExecCommand { shell }).await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut execution.stdout).read_line(&mut line).await.unwrap();
    until("all are up", || sandbox.usage().unwrap().processes >= 4).await;
    drop(execution);
    until("the agent is alone", || sandbox.usage().unwrap().processes == 1).await;
    kill(&*sandbox).await;
}

#[tokio::test]
async fn a_command_ends_with_the_sandbox() {
    let bench = Processes::new();
    let sandbox = bench.run(&idle(&bench)).await;
    let execution = sandbox.exec(&ExecCommand { shell: "exec sleep 1000".into() }).await.unwrap();
    until("it is up", || sandbox.usage().unwrap().processes == 2).await;
    kill(&*sandbox).await;
    assert_eq!(execution.exit.await.unwrap(), ExitStatus::Signal(9));
}

#[tokio::test]
async fn commands_run_at_the_same_time_and_may_be_long() {
    let bench = Processes::new();
    let sandbox = bench.run(&idle(&bench)).await;
    let word = "x".repeat(60_000);
    let shells: Vec<_> = (0..20).map(|number| format!("echo {number} {word} | tail -c 9")).collect();
    let outputs = shells.iter().map(|shell| output_of(&*sandbox, shell));
    for output in futures_util::future::join_all(outputs).await {
        assert_eq!(output, "xxxxxxxx\n");
    }
    kill(&*sandbox).await;
}

#[tokio::test]
async fn a_command_writes_more_than_a_pipe_holds() {
    let bench = Processes::new();
    let sandbox = bench.run(&idle(&bench)).await;
    let output = output_of(&*sandbox, "head -c 1000000 /dev/zero").await;
    assert_eq!(output.len(), 1_000_000);
    kill(&*sandbox).await;
    end_of(&*sandbox).await;
}
