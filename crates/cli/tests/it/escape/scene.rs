//! A host, a session that attacks and one that is attacked.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use agentcore_sandbox::{NetworkMode, Wall};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use serde_json::{Value, json};

use super::{Outcome, PORT};
use crate::attacks::Attack;
use crate::support::{Host, Project, processes, script, session_id};
use crate::walls::standing;

const HOSTILE: &str = include_str!("hostile.py");
const AGENT: &str = "agent";
/// What a session's log files may take together when nothing is said, and a flood that is far beyond it.
const LOG_BYTES: u64 = 10 << 20;
const FLOOD: u64 = 24 << 20;
/// Of another session, while the log is flooded.
const ANSWERS: u32 = 5;

pub(super) struct Scene {
    project: Project,
    host: Host,
    mode: NetworkMode,
    attacker: String,
    victim: String,
}

impl Scene {
    /// `None`: this machine cannot put up the walls that the scene needs, for this user.
    pub(super) async fn set(mode: NetworkMode, user: Option<u32>) -> Option<Self> {
        standing(&Wall::ALL)?;
        if user.is_some() && !geteuid().is_root() {
            return skipped("to be another user takes root");
        }
        let project = user.map_or_else(Project::new, Project::of_user);
        all_walls_stand(&project).await?;
        fs::create_dir(project.path().join("planted")).unwrap();
        for folder in ["", "planted/"] {
            project.executable(&format!("{folder}hostile"), HOSTILE);
            project.file(&format!("{folder}answering.py"), script::ANSWERING);
        }
        project.configure("hostile", &["-n", AGENT]).await;
        project.expect(&["keys", "create", "--operator", "--state", ".agentcore"]).await;
        let network = if mode == NetworkMode::Host { "host" } else { "egress" };
        let code = project.path().to_str().unwrap().to_owned();
        let options = ["--network", network, "--code-root", &code, "--on-shutdown", "stop"];
        let host = project.serve(&options).await;
        let (attacker, victim) = (session_id("attacker"), session_id("victim"));
        Some(Self { project, host, mode, attacker, victim })
    }

    /// Makes all attempts, and sees to it that they are none that fail everywhere.
    pub(super) async fn play(self) -> Vec<Outcome> {
        let target = self.target().await;
        let answer = self.invoke(&self.attacker, json!({ "attack": target })).await;
        let mut outcomes: Vec<Outcome> = serde_json::from_value(answer).unwrap();
        outcomes.push(self.flood().await);
        outcomes.push(self.stay().await);
        if self.mode == NetworkMode::Egress {
            self.expect_that_they_work_outside().await;
        }
        outcomes.push(self.outlive().await);
        outcomes
    }

    async fn invoke(&self, session: &str, payload: Value) -> Value {
        self.project.invoke(session, &payload.to_string()).await
    }

    fn state(&self) -> PathBuf {
        self.project.path().join(".agentcore")
    }

    /// What there is to attack.
    async fn target(&self) -> Value {
        let mut target = self.invoke(&self.victim, json!({})).await;
        let (address, port) = self.host.url.rsplit_once(':').unwrap();
        let address = address.strip_prefix("http://").unwrap();
        target["host"] = json!([address, port.parse::<u16>().unwrap()]);
        target["host_pid"] = json!(self.host.pid());
        let folder = Path::new(target["folder"].as_str().unwrap()).to_owned();
        target["name"] = json!(folder.file_name().unwrap().to_str());
        target["pid"] = json!(self.victims_process(folder.to_str().unwrap()));
        target["state"] = json!(self.state());
        let code = self.project.path().join("planted/hostile");
        let mut attacks: Vec<_> =
            Attack::all(AGENT, &self.victim, &code).into_iter().map(|it| (it, "API")).collect();
        // The last two stop it: between them it begins anew.
        attacks.insert(attacks.len() - 1, (Attack::invocation(), "network"));
        let requests = attacks.iter().map(|(attack, wall)| {
            json!({"what": attack.what, "wall": wall, "request": attack.request(&self.victim, None)})
        });
        target["requests"] = requests.collect();
        target
    }

    fn victims_process(&self, folder: &str) -> u32 {
        let is_victims = |pid: u32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|it| String::from_utf8_lossy(&it).contains(folder))
        };
        let agents = self.project.processes().into_iter().filter(|one| !one.is_init());
        agents.map(|one| one.pid).find(|pid| is_victims(*pid)).unwrap()
    }

    /// The same from outside of any session, as the user whose host it is: nothing but walls keeps from it.
    async fn expect_that_they_work_outside(&self) {
        let target = self.target().await;
        let program = self.project.path().join("hostile");
        let output = self.project.program(&program).arg(target.to_string()).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let outcomes: Vec<Outcome> = serde_json::from_slice(&output.stdout).expect(&errors);
        // From outside there is no way to a port in a network of a session's own.
        let stopped = outcomes.iter().filter(|it| !it.gets_through() && it.attempt != PORT);
        assert_eq!(stopped.collect::<Vec<_>>(), Vec::<&Outcome>::new(), "outside");
    }

    /// Has the attacker write log without end, until the other session has answered often enough.
    async fn flood(&self) -> Outcome {
        let is_answered = Cell::new(false);
        let flood = async {
            loop {
                let attacker = self.invoke(&self.attacker, json!({ "flood": FLOOD })).await;
                if is_answered.get() {
                    return attacker;
                }
            }
        };
        let ask = async {
            for _ in 0..ANSWERS {
                self.invoke(&self.victim, json!({})).await;
            }
            is_answered.set(true);
        };
        let (attacker, ()) = tokio::join!(flood, ask);
        let folder = Path::new(attacker["folder"].as_str().unwrap());
        let size = |name: &str| fs::metadata(folder.join(name)).map_or(0, |it| it.len());
        let taken = size("log") + size("log.1");
        let host = self.project.host_log().len() as u64;
        let bounded = (1..=LOG_BYTES).contains(&taken) && host < LOG_BYTES;
        let by = format!("{taken} bytes of log, {host} of the host's");
        Outcome::judged("write log without end", "limits", bounded, by)
    }

    /// Stops a session that has left a process behind.
    async fn stay(&self) -> Outcome {
        let marker = self.left_by_attacker().await;
        self.project.expect(&["stop-session", "-s", &self.attacker]).await;
        self.project.ended(&self.attacker).await;
        let by = "it ended with the session".to_owned();
        Outcome::judged("leave a process behind", "pid", !runs(&marker), by)
    }

    /// The same by the end of the host, after which nothing is left of anybody.
    async fn outlive(self) -> Outcome {
        let marker = self.left_by_attacker().await;
        self.host.end(Signal::SIGTERM).await;
        self.project.expect_no_processes().await;
        let by = "it ended with the host".to_owned();
        Outcome::judged("outlive a host that stops its sessions", "pid", !runs(&marker), by)
    }

    async fn left_by_attacker(&self) -> String {
        let marker = format!("left-behind-by-a-session-of-{}", self.host.pid());
        self.invoke(&self.attacker, json!({ "stay": marker })).await;
        crate::support::eventually("it is left behind", || async { runs(&marker).then_some(()) }).await;
        marker
    }
}

/// Whether a process has this argument.
fn runs(marker: &str) -> bool {
    processes::command_lines().iter().any(|(_, line)| line.split(' ').any(|argument| argument == marker))
}

/// Whether all stand for this project's user. `None` skips a test, but never in CI.
async fn all_walls_stand(project: &Project) -> Option<()> {
    let checks: Value = serde_json::from_str(&project.run(&["doctor", "--json"]).await.stdout).unwrap();
    let walls = checks.as_array().unwrap().iter().find(|check| check["name"] == "walls").unwrap();
    if walls["verdict"] == "ok" { Some(()) } else { skipped(&walls.to_string()) }
}

fn skipped<T>(reason: &str) -> Option<T> {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    println!("skipped: {reason}");
    None
}
