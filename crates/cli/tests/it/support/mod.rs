//! A project folder, the binary in it, a host, and what is left of it all in the end.

pub(crate) mod agent;
pub(crate) mod http;
mod inside;
pub(crate) mod processes;
pub(crate) mod script;
pub(crate) mod secured;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use agentcore_sandbox::Wall;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use processes::Sandboxed;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The binary under test.
pub(crate) fn agentcore() -> &'static str {
    env!("CARGO_BIN_EXE_agentcore")
}

/// The interpreter with AWS's own SDK. `None` skips a test, but never in CI.
pub(crate) fn python() -> Option<PathBuf> {
    interpreter("AGENTCORE_TEST_PYTHON", "bedrock-agentcore")
}

/// The interpreter with this project's package. `None` skips a test, but never in CI.
pub(crate) fn package_python() -> Option<PathBuf> {
    interpreter("AGENTCORE_TEST_PACKAGE_PYTHON", "bedrock-agentcore-rs")
}

fn interpreter(variable: &str, package: &str) -> Option<PathBuf> {
    let python = std::env::var_os(variable).filter(|path| !path.is_empty());
    if python.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{variable} is not set, and must be in CI");
        println!("skipped: {variable} names no interpreter with the package {package}");
    }
    python.map(PathBuf::from)
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// A folder with agents, and the command in it.
pub(crate) struct Project {
    folder: tempfile::TempDir,
    somebody: Option<Somebody>,
}

/// A user who runs the command instead of whoever runs the tests.
struct Somebody {
    id: u32,
    /// What is built may be out of others' sight: a folder with a copy of the binary.
    programs: tempfile::TempDir,
}

impl Project {
    /// An empty folder. Its path is short, because sockets live below it.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("ac").tempdir_in("/tmp").unwrap(), somebody: None }
    }

    /// An empty folder of this user's, who runs all commands in it. It takes root.
    pub(crate) fn of_user(id: u32) -> Self {
        use std::os::unix::fs::{PermissionsExt, chown};
        let mut project = Self::new();
        let programs = tempfile::Builder::new().prefix("bin").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(programs.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(agentcore(), programs.path().join("agentcore")).unwrap();
        chown(project.path(), Some(id), Some(id)).unwrap();
        project.somebody = Some(Somebody { id, programs });
        project
    }

    /// A program as whoever runs the commands of this project.
    pub(crate) fn program(&self, program: &Path) -> Command {
        let Some(Somebody { id, .. }) = &self.somebody else { return Command::new(program) };
        let mut command = Command::new("/usr/bin/setpriv");
        command.args([&format!("--reuid={id}"), &format!("--regid={id}"), "--clear-groups"]).arg(program);
        command
    }

    /// A folder with the test agent, configured.
    pub(crate) async fn with_test_agent(options: &[&str]) -> Self {
        let project = Self::new();
        project.executable("agent.sh", &agent::script());
        project.configure("agent.sh", options).await;
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    pub(crate) fn file(&self, name: &str, content: &str) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    /// What has the test agent work until [`Project::work_is_done`].
    pub(crate) fn work(&self) -> String {
        json!({ "work": self.done() }).to_string()
    }

    /// The file for which work waits.
    pub(crate) fn done(&self) -> PathBuf {
        self.path().join("done")
    }

    /// Lets the work of the project's agents end.
    pub(crate) fn work_is_done(&self) {
        self.file("done", "");
    }

    /// Writes a program.
    pub(crate) fn executable(&self, name: &str, content: &str) {
        use std::os::unix::fs::PermissionsExt;
        self.file(name, content);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path().join(name), mode).unwrap();
    }

    /// Makes an interpreter the project's own, as a virtual environment would.
    pub(crate) fn interpreter(&self, python: &Path) {
        let environment = python.parent().and_then(Path::parent).unwrap();
        std::os::unix::fs::symlink(environment, self.path().join(".venv")).unwrap();
    }

    pub(crate) async fn configure(&self, entrypoint: &str, options: &[&str]) {
        let done = self.run(&[&["configure", "-e", entrypoint], options].concat()).await;
        assert!(done.success(), "{done:?}");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let copy = self.somebody.as_ref().map(|user| user.programs.path().join("agentcore"));
        let mut command = self.program(&copy.unwrap_or_else(|| agentcore().into()));
        command.args(arguments).current_dir(self.path()).kill_on_drop(true).stdin(Stdio::null());
        for variable in
            ["AGENTCORE_ENDPOINT", "AGENTCORE_LOG", "VIRTUAL_ENV", "BEDROCK_AGENTCORE_BEARER_TOKEN"]
        {
            command.env_remove(variable);
        }
        // Nor are their credentials.
        command.env("HOME", self.path());
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("AWS_") {
                command.env_remove(variable);
            }
        }
        // Nor are those of the machine that it runs on, for which a command would wait.
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        // No host of whoever runs the tests is ever found.
        command.env("XDG_STATE_HOME", self.path().join("no-state"));
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(&[], arguments).await
    }

    /// Runs a command to its end, with these variables in its environment.
    pub(crate) async fn run_with(&self, variables: &[(&str, String)], arguments: &[&str]) -> Done {
        let mut command = self.command(arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        Done::from(output.expect("the command does not end").unwrap())
    }

    /// Starts a command whose output is read while it runs.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub(crate) async fn expect(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments).await;
        assert!(done.success(), "{arguments:?}: {done:?}");
        done.stdout
    }

    /// Runs a command that must succeed and print JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.expect(arguments).await).unwrap()
    }

    /// Runs a command that must succeed and print JSON, with these variables in its environment.
    pub(crate) async fn json_with(&self, variables: &[(&str, String)], arguments: &[&str]) -> Value {
        let done = self.run_with(variables, arguments).await;
        assert!(done.success(), "{arguments:?}: {done:?}");
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// Invokes the agent in a session.
    pub(crate) async fn invoke(&self, session: &str, payload: &str) -> Value {
        self.json(&["invoke", payload, "-l", "-s", session]).await
    }

    /// What `sessions show` says.
    pub(crate) async fn session(&self, session: &str) -> Value {
        self.json(&["sessions", "show", session, "--json"]).await
    }

    /// Waits until a session has ended, and returns what `sessions show` says.
    pub(crate) async fn ended(&self, session: &str) -> Value {
        eventually("the session ends", || async {
            Some(self.session(session).await).filter(|shown| shown["state"] == "stopped")
        })
        .await
    }

    /// Starts `launch -l` on a free port, and waits until it serves.
    pub(crate) async fn launch(&self, options: &[&str]) -> Host {
        self.host(&[&["launch", "-l", "--port", "0"], options].concat()).await
    }

    /// Starts `serve` on a free port, with its state where commands in the project find it.
    pub(crate) async fn serve(&self, options: &[&str]) -> Host {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--state", ".agentcore"];
        self.host(&[&serve, options].concat()).await
    }

    async fn host(&self, arguments: &[&str]) -> Host {
        let log = std::fs::File::create(self.path().join("host.log")).unwrap();
        let mut command = self.command(arguments);
        // The test agent is this very program, which only those see who run it.
        if self.somebody.is_none() {
            command.arg("--read-only").arg(std::env::current_exe().unwrap());
        }
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let pid = child.id().unwrap();
        let record = self.path().join(".agentcore/host.json");
        let serves = eventually("the host serves", || async {
            let record: Value = serde_json::from_slice(&std::fs::read(&record).ok()?).ok()?;
            (record["pid"] == pid).then(|| record["url"].as_str().map(str::to_owned)).flatten()
        });
        let url = tokio::select! {
            url = serves => url,
            status = child.wait() => panic!("the host ended with {}: {}", status.unwrap(), self.host_log()),
        };
        Host { child, url }
    }

    /// What the host wrote to standard error.
    pub(crate) fn host_log(&self) -> String {
        std::fs::read_to_string(self.path().join("host.log")).unwrap_or_default()
    }

    /// The processes of this project's sandboxes.
    pub(crate) fn processes(&self) -> Vec<Sandboxed> {
        processes::below(self.path())
    }

    /// Sees to it that all that runs of its agents is behind every wall, where every wall can be put up.
    pub(crate) fn expect_walls(&self) {
        if crate::walls::standing(&Wall::ALL).is_none() {
            return;
        }
        let agents: Vec<_> = self.processes().into_iter().filter(|one| !one.is_init()).collect();
        assert!(!agents.is_empty(), "no agent runs");
        for agent in agents {
            assert_eq!(agent.gaps(), Vec::<String>::new(), "{agent:?}");
        }
        for recorded in self.recorded_walls() {
            assert_eq!(recorded, json!(Wall::ALL), "on record");
        }
    }

    /// The walls of each session, as its init has written them down.
    fn recorded_walls(&self) -> Vec<Value> {
        let folders = std::fs::read_dir(self.path().join(".agentcore/i")).unwrap();
        let records = folders.filter_map(|folder| std::fs::read(folder.ok()?.path().join("init.json")).ok());
        let recorded: Vec<Value> =
            records.map(|record| serde_json::from_slice::<Value>(&record).unwrap()["walls"].take()).collect();
        assert!(!recorded.is_empty(), "no session is on record");
        recorded
    }

    /// Waits until nothing of any sandbox is left.
    pub(crate) async fn expect_no_processes(&self) {
        eventually("no process is left", || async { self.processes().is_empty().then_some(()) }).await;
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let left = self.processes();
        for process in &left {
            process.kill();
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "these processes were left behind: {left:?}\n{}", self.host_log());
        }
    }
}

/// A running `launch -l`.
pub(crate) struct Host {
    child: Child,
    pub(crate) url: String,
}

impl Host {
    /// The host's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Kills the host, as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Ends the host as Ctrl-C does, which takes the sessions of `launch -l` with it.
    pub(crate) async fn interrupt(self) {
        self.end(Signal::SIGINT).await;
    }

    /// Ends the host with a signal, and waits for its end.
    pub(crate) async fn end(self, signal: Signal) {
        let status = self.ended_by(signal).await;
        assert!(status.success(), "the host ended with {status}");
    }

    /// Sends the host a signal, and tells how it ended.
    pub(crate) async fn ended_by(mut self, signal: Signal) -> ExitStatus {
        processes::signal(self.pid(), signal);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("the host does not end").unwrap()
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn success(&self) -> bool {
        self.code == Some(0)
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A session id that no one else has.
pub(crate) fn session_id(name: &str) -> String {
    format!("{name:-<33}")
}
