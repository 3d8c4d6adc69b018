//! What the tests run their sandboxes with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agentcore_protocol::SystemClock;
use agentcore_sandbox::{
    CgroupRoots, Exit, ExitStatus, InMemoryAgent, InMemoryKind, NetworkMode, ProcessKind, ProcessOptions,
    ResourceLimits, SANDBOX_VARIABLE, Sandbox, SandboxKind, SandboxSpec, ScriptedCommand, ScriptedStart,
    StopSignal, Wall, Walls,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const MARK: &str = "AGENTCORE_TEST_BENCH";

/// Longer than anything here takes, even on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// What an agent of the contract suite does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Agent {
    /// Serves: answers each connection's bytes with how many connections there were, and the bytes.
    Counts,
    /// Serves, but not SIGTERM.
    CountsOn,
    /// Leaves at once with code 3, after a word on each output.
    Leaves,
}

/// A place for the sandboxes of one test.
pub(crate) trait Bench {
    fn new() -> Self;
    fn kind(&self) -> &dyn SandboxKind;
    /// What to start for an agent that does this.
    fn spec(&self, agent: Agent) -> SandboxSpec;
    /// The program of `spec` is made to be missing.
    fn spec_without_program(&self) -> SandboxSpec;

    async fn start(&self, agent: Agent) -> Arc<dyn Sandbox> {
        self.kind().start(&self.spec(agent)).await.unwrap()
    }
}

/// Real processes. When dropped it makes sure that none is left.
pub(crate) struct Processes {
    state: tempfile::TempDir,
    kind: ProcessKind,
    incarnations: PathBuf,
    mark: Option<String>,
}

impl Processes {
    /// As a host has it, behind what walls stand here.
    pub(crate) fn with(cgroups: CgroupRoots) -> Self {
        Self::from(ProcessOptions {
            cgroups,
            walls: standing(),
            one_init_ready: true,
            first_network: Some(NetworkMode::Host),
            ..ProcessOptions::new(vec![init()])
        })
    }

    /// The same, with an init in readiness that is told from all others, by a variable that it has. What
    /// the next session is expected to ask for is made when this returns, where it can be.
    pub(crate) async fn ready(mut options: ProcessOptions, network: NetworkMode) -> Self {
        static MARKS: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{MARK}={}-{}", std::process::id(), MARKS.fetch_add(1, Ordering::Relaxed));
        options.init = [vec!["/usr/bin/env".into(), OsString::from(&mark)], options.init].concat();
        options.one_init_ready = true;
        options.first_network = Some(network);
        let prepares = prepares(&options.walls);
        let mut bench = Self::from(options);
        bench.mark = prepares.then_some(mark);
        bench.until_ready().await;
        bench
    }

    /// Waits until the next session is prepared for, and gives the inner process that it will have.
    /// `None` where nothing is prepared.
    pub(crate) async fn until_ready(&self) -> Option<i32> {
        let mark = self.mark.as_deref()?;
        let mut inner = None;
        until("an enclosure is prepared", || {
            // Whoever is sealed has done all that there is to do.
            inner = marked(mark).find(|pid| status(*pid, "Seccomp:") == "2" && is_idle(*pid));
            inner.is_some()
        })
        .await;
        inner
    }

    /// How many inits this bench has, and copies of them.
    pub(crate) fn inits(&self) -> usize {
        self.mark.as_deref().map_or(0, |mark| marked(mark).count())
    }

    /// Behind these walls and no others.
    pub(crate) fn behind(walls: Walls) -> Self {
        Self::from(ProcessOptions {
            walls,
            cgroups: CgroupRoots::default(),
            ..ProcessOptions::new(vec![init()])
        })
    }

    /// Behind these walls, as `agentcore launch` has it: the host's state is in the code folder.
    pub(crate) fn behind_with_state_in_code(walls: Walls) -> Self {
        let mut bench = Self::behind(walls.clone());
        let state = bench.code().join(".agentcore");
        fs::create_dir_all(state.join("i")).unwrap();
        fs::write(state.join("keys.json"), "keys").unwrap();
        fs::write(bench.code().join("word"), "found\n").unwrap();
        let hidden = vec![state.clone()];
        let options = ProcessOptions { walls, hidden, ..ProcessOptions::new(vec![init()]) };
        bench.kind = ProcessKind::new(options, Arc::new(SystemClock)).unwrap();
        bench.incarnations = state.join("i");
        bench
    }

    pub(crate) fn with_init(init: Vec<OsString>) -> Self {
        Self::from(ProcessOptions::new(init))
    }

    pub(crate) fn from(options: ProcessOptions) -> Self {
        let kind = ProcessKind::new(options, Arc::new(SystemClock)).unwrap();
        let state = tempfile::tempdir().unwrap();
        let incarnations = state.path().join("i");
        Self { state, kind, incarnations, mark: None }
    }

    /// Where code of this test's agents may be put.
    pub(crate) fn code(&self) -> PathBuf {
        let code = self.state.path().join("code");
        fs::create_dir_all(&code).unwrap();
        code
    }

    pub(crate) fn next_folder(&self) -> PathBuf {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        // Control groups are named after it: tests with one name would change each other's limits.
        let (process, number) = (std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed));
        self.incarnations.join(format!("{process:08x}{number:08x}"))
    }

    pub(crate) fn program(&self, program: &str, args: &[&str]) -> SandboxSpec {
        SandboxSpec {
            folder: self.next_folder(),
            program: program.into(),
            args: args.iter().map(OsString::from).collect(),
            code: self.code(),
            env: BTreeMap::from([("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())]),
            limits: ResourceLimits::default(),
            network: NetworkMode::Host,
            read_only: Vec::new(),
            confined: false,
        }
    }

    pub(crate) fn shell(&self, script: &str) -> SandboxSpec {
        self.program("/bin/sh", &["-c", script])
    }

    pub(crate) fn python(&self, script: &str) -> SandboxSpec {
        self.program("/usr/bin/env", &["python3", "-uc", script])
    }

    pub(crate) async fn run(&self, spec: &SandboxSpec) -> Arc<dyn Sandbox> {
        self.kind.start(spec).await.unwrap()
    }

    /// Processes of this test's sandboxes.
    pub(crate) fn left_over(&self) -> Vec<PathBuf> {
        let marker = format!("{SANDBOX_VARIABLE}={}", self.state.path().display());
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let is_ours = |path: &PathBuf| {
            if !path.file_name().unwrap().as_encoded_bytes()[0].is_ascii_digit() {
                return false;
            }
            let environ = fs::read(path.join("environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable.starts_with(marker.as_bytes()))
        };
        processes.filter(is_ours).collect()
    }
}

impl Bench for Processes {
    fn new() -> Self {
        Self::with(CgroupRoots::default())
    }

    fn kind(&self) -> &dyn SandboxKind {
        &self.kind
    }

    fn spec(&self, agent: Agent) -> SandboxSpec {
        match agent {
            Agent::Counts => self.python(COUNTER),
            Agent::CountsOn => self
                .python(&format!("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{COUNTER}")),
            Agent::Leaves => self.shell("echo out; echo error >&2; exit 3"),
        }
    }

    fn spec_without_program(&self) -> SandboxSpec {
        self.program("/nowhere/agent", &[])
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let left = self.left_over();
        for process in &left {
            sigkill(process.file_name().unwrap().to_str().unwrap().parse().unwrap());
        }
        assert!(std::thread::panicking() || left.is_empty(), "processes are left: {left:?}");
    }
}

const COUNTER: &str = "
import socket
door, count = socket.socket(fileno=3), 0
print('serving')
while True:
    connection, _ = door.accept()
    count += 1
    word = connection.recv(100)
    connection.sendall(b'%d %s' % (count, word))
    connection.close()
";

/// Real processes without walls.
pub(crate) struct Plain(Processes);

impl Bench for Plain {
    fn new() -> Self {
        Self(Processes::behind(Walls::new()))
    }

    fn kind(&self) -> &dyn SandboxKind {
        self.0.kind()
    }

    fn spec(&self, agent: Agent) -> SandboxSpec {
        self.0.spec(agent)
    }

    fn spec_without_program(&self) -> SandboxSpec {
        self.0.spec_without_program()
    }
}

/// Closures.
pub(crate) struct Closures {
    kind: InMemoryKind,
}

impl Bench for Closures {
    fn new() -> Self {
        let kind = InMemoryKind::new(Arc::new(SystemClock), count);
        kind.script_commands(|shell| match shell {
            "echo out; echo error >&2; exit 5" => ScriptedCommand {
                stdout: b"out\n".into(),
                stderr: b"error\n".into(),
                status: Some(ExitStatus::Code(5)),
                hang: false,
            },
            _ => panic!("no script for {shell}"),
        });
        Self { kind }
    }

    fn kind(&self) -> &dyn SandboxKind {
        &self.kind
    }

    fn spec(&self, agent: Agent) -> SandboxSpec {
        if matches!(agent, Agent::Leaves) {
            let log = b"out\nerror\n".to_vec();
            self.kind.script_next_start(ScriptedStart::ExitAtOnce { status: ExitStatus::Code(3), log });
        }
        SandboxSpec {
            folder: format!("/in-memory/{}", self.kind.agents().len()).into(),
            program: format!("{agent:?}").into(),
            args: Vec::new(),
            code: "/".into(),
            env: BTreeMap::new(),
            limits: ResourceLimits::default(),
            network: NetworkMode::Host,
            read_only: Vec::new(),
            confined: false,
        }
    }

    fn spec_without_program(&self) -> SandboxSpec {
        let spec = self.spec(Agent::Counts);
        self.kind.script_next_start(ScriptedStart::ProgramMissing);
        spec
    }

    async fn start(&self, agent: Agent) -> Arc<dyn Sandbox> {
        let sandbox = self.kind.start(&self.spec(agent)).await.unwrap();
        let started = self.kind.agents().pop().unwrap();
        if matches!(agent, Agent::CountsOn) {
            started.ignore_terminate();
        }
        if !matches!(agent, Agent::Leaves) {
            started.write_log(b"serving\n");
        }
        sandbox
    }
}

async fn count(agent: InMemoryAgent, mut io: DuplexStream) {
    let usage = agent.usage().unwrap();
    // The number of connections so far is kept in what is free to use for it: its processor time.
    let connections = usage.cpu.as_secs() + 1;
    agent.set_usage(agentcore_sandbox::Usage { cpu: Duration::from_secs(connections), ..usage });
    let mut word = [0; 100];
    let read = io.read(&mut word).await.unwrap_or(0);
    let answer = [format!("{connections} ").as_bytes(), &word[..read]].concat();
    // Who asked may have gone.
    let _ = io.write_all(&answer).await;
}

/// Sends a word and returns all that comes back.
pub(crate) async fn ask(sandbox: &dyn Sandbox, word: &str) -> String {
    let talk = async {
        let mut io = sandbox.connect().await.unwrap();
        io.write_all(word.as_bytes()).await.unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(LIMIT, talk).await.unwrap()
}

/// Waits for the end.
pub(crate) async fn end_of(sandbox: &dyn Sandbox) -> Exit {
    tokio::time::timeout(LIMIT, sandbox.wait()).await.unwrap()
}

/// Ends it and makes sure that it has ended.
pub(crate) async fn kill(sandbox: &dyn Sandbox) -> Exit {
    sandbox.stop(StopSignal::Kill).unwrap();
    end_of(sandbox).await
}

/// Waits until something that happens elsewhere has happened.
pub(crate) async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let wait = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "in vain: {what}");
}

/// Waits until the log has a line.
pub(crate) async fn until_logged(sandbox: &dyn Sandbox, line: &str) {
    until(line, || log(sandbox).lines().any(|logged| logged == line)).await;
}

pub(crate) fn log(sandbox: &dyn Sandbox) -> String {
    String::from_utf8_lossy(&sandbox.log_tail(1 << 20).unwrap()).into_owned()
}

/// Whether these walls are put up before there is an order, on this machine and by this user.
pub(crate) fn prepares(walls: &Walls) -> bool {
    let ids = fs::read_to_string("/proc/self/uid_map").unwrap();
    let is_lent = nix::unistd::geteuid().is_root() && ids.split_whitespace().eq(["0", "0", "4294967295"]);
    is_lent && [Wall::User, Wall::Pid, Wall::Mount, Wall::Seccomp].iter().all(|it| walls.contains(it))
}

// Processes that have this variable from their start.
fn marked(mark: &str) -> impl Iterator<Item = i32> + '_ {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    })
}

// Whether it waits for whatever it waits for in an incarnation's folder, as those that have an order do.
fn is_idle(pid: i32) -> bool {
    let init = status(pid, "PPid:");
    fs::read_link(format!("/proc/{init}/cwd")).is_ok_and(|folder| !folder.join("lock").exists())
}

/// What the kernel says of a process, by the beginning of the line.
pub(crate) fn status(pid: i32, what: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
    line.trim().to_owned()
}

/// The walls that stand on this machine.
pub(crate) fn standing() -> Walls {
    static STANDING: OnceLock<Walls> = OnceLock::new();
    STANDING.get_or_init(|| ProcessOptions::new(vec![init()]).probe().unwrap().standing).clone()
}

/// Names another place of the init that the tests run, for users who may not read the build's.
pub(crate) const INIT_VARIABLE: &str = "AGENTCORE_TEST_INIT";

/// The init that the tests run.
pub(crate) fn init() -> OsString {
    std::env::var_os(INIT_VARIABLE).unwrap_or_else(|| Path::new(env!("CARGO_BIN_EXE_agentcore-init")).into())
}

/// Kills the init of a folder, as an agent of the same user could.
pub(crate) async fn kill_init(folder: &Path) {
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("init.json")).unwrap()).unwrap();
    let pid = i32::try_from(record["init_pid"].as_i64().unwrap()).unwrap();
    sigkill(pid);
    let lock = fs::File::open(folder.join("lock")).unwrap();
    until("init has ended", || lock.try_lock_shared().is_ok()).await;
}

fn sigkill(pid: i32) {
    // It may have ended by itself.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
}
