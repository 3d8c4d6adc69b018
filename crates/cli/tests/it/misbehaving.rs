//! Agents that misbehave: the caller gets a clear error, the operator a reason, and no process is
//! left behind.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Done, Host, Project, agent, eventually, python, session_id};

/// A host that does not wait long for agents that will not stop, and a project whose agent is this
/// program.
async fn impatient(program: &str) -> (Project, Host) {
    impatient_with("", program).await
}

/// The same with more timeouts. A test sets only the one that it is about, because a slow machine
/// exceeds any.
async fn impatient_with(timeouts: &str, program: &str) -> (Project, Host) {
    let project = Project::new();
    project.executable("bad.sh", program);
    project.configure("bad.sh", &[]).await;
    let host = serve_impatiently(&project, timeouts).await;
    (project, host)
}

async fn serve_impatiently(project: &Project, timeouts: &str) -> Host {
    project.file("host.yaml", &format!("timeouts: {{stop_grace: 0.5, ping_interval: 0.2, {timeouts}}}\n"));
    project.serve(&["--config", "host.yaml", "--on-shutdown", "stop"]).await
}

/// What came of one invocation of a bad agent, and what `sessions show` says in the end.
async fn invoke_bad(program: &str, payload: &str) -> (Done, Value) {
    invoke_bad_with("", program, payload).await
}

async fn invoke_bad_with(timeouts: &str, program: &str, payload: &str) -> (Done, Value) {
    let (project, host) = impatient_with(timeouts, program).await;
    let session = session_id("bad");
    let done = project.run(&["invoke", payload, "-l", "-s", &session]).await;
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stdout.is_empty() && done.stderr.contains("error: "), "{done:?}");
    let shown = project.session(&session).await;
    host.end(Signal::SIGTERM).await;
    project.expect_no_processes().await;
    (done, shown)
}

#[tokio::test]
async fn an_agent_that_exits_at_once_shows_its_last_words() {
    let (done, shown) = invoke_bad("#!/bin/sh\necho 'no key set' >&2\nexit 3\n", "{}").await;
    assert!(done.stderr.contains("code 3") && done.stderr.contains("no key set"), "{done:?}");
    assert_eq!(shown["reason"]["kind"], "StartupFailed", "{shown}");
}

#[tokio::test]
async fn a_python_agent_that_cannot_import_shows_the_traceback() {
    let project = Project::new();
    project.file("bad.py", "import surely_not_installed\n");
    project.configure("bad.py", &[]).await;
    let host = project.launch(&[]).await;
    let done = project.run(&["invoke", "{}", "-l"]).await;
    assert!(!done.success() && done.stderr.contains("No module named 'surely_not_installed'"), "{done:?}");
    host.interrupt().await;
}

#[tokio::test]
async fn an_agent_that_never_listens_is_given_up() {
    let project = Project::new();
    project.executable("bad.sh", "#!/bin/sh\necho waiting\nexec sleep 600\n");
    project.configure("bad.sh", &[]).await;
    project.file("host.yaml", "timeouts: {startup: 3}\n");
    let host = project.serve(&["--config", "host.yaml"]).await;
    let done = project.run(&["invoke", "{}", "-l"]).await;
    assert!(!done.success() && done.stderr.contains("waiting"), "the end of its log: {done:?}");
    let shown = project.json(&["sessions", "show", "--json"]).await;
    assert_eq!(shown["reason"]["kind"], "StartupFailed", "{shown}");
    assert!(shown["reason"]["detail"].as_str().unwrap().contains("the latest has hung for"), "{shown}");
    host.end(Signal::SIGTERM).await;
    project.expect_no_processes().await;
}

#[tokio::test]
async fn an_agent_that_hangs_in_the_handler_is_not_waited_for_forever() {
    let (done, _) = invoke_bad_with("answer: 2", &agent::script(), r#"{"hang": true}"#).await;
    assert!(done.stderr.contains("504"), "{done:?}");
}

#[tokio::test]
async fn an_agent_that_dies_in_the_handler_begins_anew() {
    let (project, host) = impatient(&agent::script()).await;
    let session = session_id("crash");
    let done = project.run(&["invoke", r#"{"exit": 7}"#, "-l", "-s", &session]).await;
    assert!(!done.success() && done.stderr.contains("error: "), "{done:?}");
    let shown = project.ended(&session).await;
    assert_eq!(shown["reason"]["kind"], "ProcessExited", "{shown}");
    assert!(shown["reason"]["detail"].as_str().is_some_and(|detail| detail.contains("code 7")), "{shown}");
    assert_eq!(project.invoke(&session, "{}").await["count"], 1);
    host.end(Signal::SIGTERM).await;
}

#[tokio::test]
async fn an_agent_that_fails_answers_with_its_own_error() {
    let (done, shown) = invoke_bad(&agent::script(), r#"{"fail": "out of tokens"}"#).await;
    assert!(done.stderr.contains("out of tokens") && done.stderr.contains("500"), "{done:?}");
    assert_eq!(shown["reason"], Value::Null, "a failed invocation ends no session: {shown}");
}

#[tokio::test]
async fn an_agent_that_answers_garbage_is_told_from_one_that_is_not_there() {
    let (done, _) = invoke_bad(&agent::raw_script("what?"), "{}").await;
    assert!(done.stderr.contains("502"), "{done:?}");
}

#[tokio::test]
async fn an_answer_that_ends_too_early_is_no_success() {
    let (project, host) =
        impatient(&agent::raw_script("HTTP/1.1 200 OK\\ncontent-length: 100\\n\\nhalf")).await;
    let done = project.run(&["invoke", "{}", "-l"]).await;
    assert!(!done.success() && done.stderr.contains("cut short"), "{done:?}");
    host.end(Signal::SIGTERM).await;
}

#[tokio::test]
async fn an_agent_that_ignores_sigterm_is_killed_with_what_it_forked() {
    // A grandchild that leaves its parent and its session, and an agent that will not go.
    let forks = "#!/bin/sh\ntrap '' TERM\n(setsid sleep 600 &)\n";
    let serves = agent::raw_script("HTTP/1.1 200 OK\\ncontent-length: 2\\n\\n{}").replace("#!/bin/sh\n", "");
    let (project, host) = impatient(&format!("{forks}{serves}")).await;
    let session = session_id("stubborn");
    project.invoke(&session, "{}").await;
    // The agent does not wait for what it forks, and may answer first.
    eventually("the grandchild runs", || async {
        project.processes().iter().any(|process| process.command.contains("sleep 600")).then_some(())
    })
    .await;
    project.expect(&["stop-session"]).await;
    assert_eq!(project.ended(&session).await["reason"]["kind"], "StopRequested");
    project.expect_no_processes().await;
    host.end(Signal::SIGTERM).await;
}

#[tokio::test]
async fn a_flooded_log_is_bounded() {
    let (project, host) = impatient(&agent::script()).await;
    let session = session_id("flood");
    let done = project.run(&["invoke", r#"{"flood": 50000000}"#, "-l", "-s", &session]).await;
    assert!(done.success(), "{done:?}");
    let log = project.expect(&["logs", "-s", &session]).await;
    assert!(log.len() <= 11 << 20, "{} bytes are kept", log.len());
    host.end(Signal::SIGTERM).await;
}

/// Works in the background, and holds the GIL by one long call meanwhile (`PyDLL` does not let go of it): no
/// ping is answered for longer than an idle session may be silent.
const HOLDS_THE_GIL: &str = r#"
import ctypes, threading, time
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

def work(task):
    time.sleep(0.5)
    ctypes.PyDLL(None).sleep(4)
    print("the work is done", flush=True)
    app.complete_async_task(task)

@app.entrypoint
def handler(event):
    threading.Thread(target=work, args=[app.add_async_task("work")]).start()
    return {"status": "started"}

app.run()
"#;

async fn holding_the_gil(python: &Path, options: &[&str]) -> (Project, Host) {
    let project = Project::new();
    project.interpreter(python);
    project.file("gil.py", HOLDS_THE_GIL);
    project.configure("gil.py", options).await;
    let host = serve_impatiently(&project, "unresponsive_idle: 2").await;
    (project, host)
}

#[tokio::test]
async fn a_busy_agent_that_holds_the_gil_is_not_taken_for_dead() {
    let Some(python) = python() else { return };
    let (project, host) = holding_the_gil(&python, &[]).await;
    let session = session_id("gil");
    project.invoke(&session, "{}").await;
    let shown = eventually("it is idle again", || async {
        let shown = project.session(&session).await;
        (shown["state"] != "active").then_some(shown)
    })
    .await;
    assert_eq!(shown["state"], "idle", "{shown}");
    host.end(Signal::SIGTERM).await;
}

#[tokio::test]
async fn an_agent_that_holds_the_gil_for_longer_than_its_idle_timeout_is_busy_not_idle() {
    let Some(python) = python() else { return };
    let (project, host) = holding_the_gil(&python, &["--idle-timeout", "1"]).await;
    let session = session_id("gil");
    project.invoke(&session, "{}").await;
    let ended = project.ended(&session).await;
    assert_eq!(ended["reason"]["kind"], "IdleTimeout", "{ended}");
    let log = project.expect(&["logs", "-s", &session]).await;
    assert!(log.contains("the work is done"), "it was ended while it worked: {ended} {log}");
    host.end(Signal::SIGTERM).await;
    project.expect_no_processes().await;
}

/// Where control groups can be had: an agent that takes more memory than it may is ended, and the
/// reason says so.
#[tokio::test]
async fn an_agent_that_eats_memory_is_ended_and_the_reason_says_so() {
    let project = Project::new();
    let doctor = project.run(&["doctor", "--json"]).await;
    let checks: Value = serde_json::from_str(&doctor.stdout).unwrap();
    if checks.as_array().unwrap().iter().any(|check| check["name"] == "cgroups" && check["verdict"] != "ok") {
        println!("skipped: no control groups can be made here");
        return;
    }
    project.executable("bad.sh", &agent::script());
    let (program, code) = (project.path().join("bad.sh"), project.path());
    project.file(
        "host.yaml",
        &format!(
            "agents: [{{name: hungry, program: {}, code: {}, env: {{PATH: /usr/bin:/bin}}, \
             read_only: [{}], limits: {{memory_bytes: 200000000}}}}]\n",
            program.display(),
            code.display(),
            std::env::current_exe().unwrap().display()
        ),
    );
    let host = project.serve(&["--config", "host.yaml", "--on-shutdown", "stop"]).await;
    let session = session_id("hungry");
    let done = project.run(&["invoke", r#"{"eat": 1000000000}"#, "-l", "-s", &session]).await;
    assert!(!done.success(), "{done:?}");
    let shown = project.ended(&session).await;
    assert!(shown["reason"]["detail"].as_str().is_some_and(|detail| detail.contains("memory")), "{shown}");
    host.end(Signal::SIGTERM).await;
    project.expect_no_processes().await;
}
