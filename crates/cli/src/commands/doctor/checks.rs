//! The checks themselves. Each looks at one thing.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentcore_protocol::agent::DEFAULT_PORT;
use agentcore_protocol::lifecycle::LifecycleConfiguration;
use agentcore_sandbox::{CgroupRoots, EnforceableLimits, WallReport};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{AccessFlags, access};
use tokio::process::Command;

use super::super::walls;
use super::Check;
use crate::client::model::HostInfo;
use crate::config::launchable::Launchable;
use crate::config::project::{Project, ProjectError};
use crate::config::state;
use crate::context::Context;

/// What a sandbox's init needs of the kernel: pidfds that can be polled.
const OLDEST_KERNEL: (u32, u32) = (5, 4);
/// Descriptors under which a host with many sessions runs dry: it needs some four per session.
const FEW_DESCRIPTORS: u64 = 4_096;
/// What a session's socket adds to the path of the state folder, and how long a path may be.
const SOCKET_SUFFIX: &str = "/i/0123456789abcdef/agent.sock";
const LONGEST_SOCKET_PATH: usize = 107;
const WALLS: &str = "walls";
/// How long an interpreter may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes every check, in an order from the ground up.
pub(super) async fn all(context: &Context) -> Vec<Check> {
    let project = context.project();
    let state = match &project {
        Ok(project) => Some(state::of_project(project.folder())),
        Err(_) => state::of_server(),
    };
    let mut checks = vec![
        kernel(Path::new("/proc/sys/kernel/osrelease")),
        cgroups(CgroupRoots::discover().enforceable()),
        between_sessions().await,
        descriptors(),
        state_folder(state.as_deref()),
        port(context).await,
    ];
    match &project {
        Ok(project) => checks.extend(agents(project).await),
        Err(error) => checks.push(no_project(error)),
    }
    checks
}

fn kernel(release: &Path) -> Check {
    let text = fs::read_to_string(release).unwrap_or_default();
    let text = text.trim();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST_KERNEL => {
            Check::ok("kernel", format!("Linux {text}"))
        }
        (Some(_), Some(_)) => {
            Check::fail("kernel", format!("Linux {text}"), "use Linux 5.4 or newer: sessions need pidfds")
        }
        _ => Check::fail(
            "kernel",
            "this is no Linux",
            "hosts run on Linux; in a virtual machine or container they do",
        ),
    }
}

/// Limits on memory and processors need control groups that this user may divide.
fn cgroups(enforceable: EnforceableLimits) -> Check {
    const NAME: &str = "cgroups";
    let limits =
        [("memory", enforceable.memory), ("processes", enforceable.processes), ("CPU", enforceable.cpus)];
    let missing: Vec<&str> = limits.iter().filter(|(_, kept)| !kept).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Check::ok(NAME, "limits on memory, processes and CPU are kept");
    }
    Check::note(
        NAME,
        format!("agents run, but limits on {} cannot be kept here", missing.join(", ")),
        "run the host as root, or in a group that is delegated to it (systemd: Delegate=yes)",
    )
}

/// Which walls between sessions stand.
async fn between_sessions() -> Check {
    let report = match walls::sandboxes() {
        Ok(sandboxes) => walls::look_at(&sandboxes).await,
        Err(error) => Err(error),
    };
    match report {
        Ok(report) => standing(&report),
        Err(error) => Check::fail(WALLS, format!("{error:#}"), "run `agentcore doctor` from its own file"),
    }
}

/// What that means: what is open, and how it is closed.
fn standing(report: &WallReport) -> Check {
    if report.is_complete() {
        return Check::ok(WALLS, format!("between sessions {report}"));
    }
    let open: Vec<&str> = report.missing.iter().map(|missing| walls::without(missing.wall)).collect();
    let found = format!("between sessions {report}. So {}", open.join(", "));
    Check::note(WALLS, found, walls::advice_on(report))
}

fn descriptors() -> Check {
    const NAME: &str = "open files";
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard >= FEW_DESCRIPTORS => {
            Check::ok(NAME, format!("up to {hard}, enough for some {} sessions", hard / 4))
        }
        Ok((_, hard)) => Check::note(
            NAME,
            format!("up to {hard}: about {} sessions", hard / 4),
            "raise the limit (`ulimit -Hn`, LimitNOFILE= in systemd)",
        ),
        Err(error) => Check::note(NAME, format!("the limit cannot be read: {error}"), "see `ulimit -Hn`"),
    }
}

fn state_folder(state: Option<&Path>) -> Check {
    const NAME: &str = "state folder";
    let Some(state) = state else {
        return Check::fail(NAME, "there is no home folder", "name one: `agentcore serve --state DIR`");
    };
    let shown = state.display().to_string();
    let nearest = state.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    if state.as_os_str().len() + SOCKET_SUFFIX.len() > LONGEST_SOCKET_PATH {
        let most = LONGEST_SOCKET_PATH - SOCKET_SUFFIX.len();
        return Check::fail(
            NAME,
            format!("{shown} is too long for sockets"),
            format!("use a path of at most {most} bytes"),
        );
    }
    if access(nearest, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        let to_do = format!(
            "make {} writable, or name another folder: `agentcore serve --state DIR`",
            nearest.display()
        );
        return Check::fail(NAME, format!("{shown} cannot be written"), to_do);
    }
    Check::ok(NAME, shown)
}

/// Whether the host's port is free, or a host has it already.
async fn port(context: &Context) -> Check {
    let client = context.host();
    let endpoint = client.endpoint().as_str();
    match client.get::<HostInfo>("/host", &[]).await {
        Ok(host) => Check::ok("host", format!("runs at {endpoint} (process {})", host.pid)),
        Err(error) if error.is_not_running() => {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, DEFAULT_PORT)) {
                Ok(_) => Check::ok("port", format!("{DEFAULT_PORT} is free; no host runs")),
                Err(error) => taken(&error.to_string()),
            }
        }
        Err(error) => taken(&error.to_string()),
    }
}

fn taken(why: &str) -> Check {
    let to_do = "stop what has the port, or use another: `agentcore launch -l --port 8081`";
    Check::fail("port", format!("{DEFAULT_PORT} is not free: {why}"), to_do)
}

fn no_project(error: &ProjectError) -> Check {
    const NAME: &str = "project";
    let to_do = "`agentcore configure -e my_agent.py` in the agent's folder";
    match error {
        ProjectError::NotConfigured(_) => Check::note(NAME, error.to_string(), to_do),
        _ => Check::fail(NAME, error.to_string(), "mend the file, or configure anew"),
    }
}

/// Every agent of the project: whether it can be launched, and whether its interpreter can run it.
async fn agents(project: &Project) -> Vec<Check> {
    let mut checks = vec![Check::ok("project", project.path().display().to_string())];
    let enforceable = CgroupRoots::discover().enforceable();
    let mut interpreters: Vec<PathBuf> = Vec::new();
    for name in project.agent_names() {
        let found =
            project.agent(Some(&name)).map_err(|error| error.to_string()).and_then(|(name, entry)| {
                let found = Launchable::of(project, &name, &entry, LifecycleConfiguration::default());
                found.map_err(|error| error.to_string())
            });
        match found {
            Ok(agent) => {
                checks.push(Check::ok("agent", format!("{name} runs {}", agent.entrypoint.path.display())));
                checks.extend(unkept(&agent, enforceable));
                interpreters.extend(agent.interpreter);
            }
            Err(why) => {
                let to_do = format!("`agentcore configure -n {name} -e FILE`");
                checks.push(Check::fail("agent", why, to_do));
            }
        }
    }
    interpreters.sort();
    interpreters.dedup();
    for interpreter in interpreters {
        checks.push(python(&interpreter).await);
    }
    checks
}

/// The limits of an agent that are not kept here.
fn unkept(agent: &Launchable, enforceable: EnforceableLimits) -> Option<Check> {
    let limits = agent.limits;
    let missing: Vec<&str> = [
        ("memory_bytes", limits.memory_bytes.is_some() && !enforceable.memory),
        ("processes", limits.processes.is_some() && !enforceable.processes),
        ("cpus", limits.cpus.is_some() && !enforceable.cpus),
    ]
    .into_iter()
    .filter_map(|(name, is_missing)| is_missing.then_some(name))
    .collect();
    let found = format!("{}: its limits.{} cannot be kept here", agent.name, missing.join(", limits."));
    (!missing.is_empty()).then(|| Check::note("agent", found, "see what is said of cgroups"))
}

async fn python(interpreter: &Path) -> Check {
    const NAME: &str = "python";
    let shown = interpreter.display();
    let script = "import sys; print(sys.version.split()[0]); import bedrock_agentcore";
    let mut command = Command::new(interpreter);
    command.args(["-c", script]).kill_on_drop(true);
    match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if output.status.success() {
                return Check::ok(NAME, format!("{shown} ({version}, with bedrock_agentcore)"));
            }
            let to_do = format!("if an agent needs it: {shown} -m pip install bedrock-agentcore");
            Check::note(NAME, format!("{shown} ({version}) has no package bedrock_agentcore"), to_do)
        }
        Ok(Err(error)) => Check::fail(
            NAME,
            format!("{shown} does not run: {error}"),
            "install Python, or mend the environment",
        ),
        Err(_) => Check::fail(NAME, format!("{shown} does not answer"), "see what keeps it: run it by hand"),
    }
}

#[cfg(test)]
mod tests {
    use agentcore_sandbox::{Missing, Wall};

    use super::super::Verdict;
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn an_old_kernel_is_told_from_a_new_one() {
        for (release, verdict) in [
            ("6.18.1-amd64\n", Verdict::Ok),
            ("5.4.0", Verdict::Ok),
            ("5.3.18", Verdict::Fail),
            ("4.19", Verdict::Fail),
            ("", Verdict::Fail),
        ] {
            assert_eq!(kernel(file(release).path()).verdict, verdict, "{release}");
        }
    }

    /// A machine where these are missing, for this reason.
    fn machine_without(missing: &[Wall], reason: &str) -> WallReport {
        let missing = missing.iter().map(|wall| Missing { wall: *wall, reason: reason.to_owned() });
        let missing: Vec<_> = missing.collect();
        let is_there = |wall: &Wall| missing.iter().all(|it| it.wall != *wall);
        WallReport { standing: Wall::ALL.into_iter().filter(is_there).collect(), missing }
    }

    #[test]
    fn of_each_wall_that_is_missing_it_says_why_what_is_open_and_what_to_do() {
        let told = |wall| standing(&machine_without(&[wall], "the kernel says no"));
        for (wall, open, to_do) in [
            (Wall::User, "the user that the host is", "user.max_user_namespaces"),
            (Wall::Pid, "signal other processes", "kernel.unprivileged_userns_clone"),
            (Wall::Mount, "files that this user can", "apparmor_restrict_unprivileged_userns"),
            (Wall::Ipc, "shared memory", "seccomp=unconfined"),
            (Wall::Uts, "the machine's name", "allow namespaces"),
            (Wall::Cgroup, "control groups", "allow namespaces"),
            (Wall::Network, "each other's ports", "install `pasta`"),
            (Wall::Capabilities, "privileges", "CONFIG_SECCOMP_FILTER"),
            (Wall::Seccomp, "the kernel's calls", "CONFIG_SECCOMP_FILTER"),
            (Wall::Landlock, "files and signals", "lsm=landlock"),
        ] {
            let check = told(wall);
            assert_eq!(check.verdict, Verdict::Note, "{check:?}");
            let why = format!("{wall} does not: the kernel says no");
            assert!(check.found.contains(&why) && check.found.contains(open), "{check:?}");
            assert!(check.to_do.as_ref().is_some_and(|said| said.contains(to_do)), "{check:?}");
        }
    }

    #[test]
    fn what_is_missing_together_is_told_and_mended_once() {
        let missing = [Wall::User, Wall::Pid, Wall::Mount, Wall::Network];
        let check = standing(&machine_without(&missing, "no namespaces"));
        assert!(check.found.contains("user, pid, mount, network do not: no namespaces."), "{check:?}");
        let to_do = check.to_do.unwrap();
        assert_eq!(to_do.matches("allow namespaces").count(), 1, "{to_do}");
        assert!(!to_do.contains("pasta"), "it would not help: {to_do}");
        let all = standing(&machine_without(&[], ""));
        assert!(all.verdict == Verdict::Ok && all.to_do.is_none(), "{all:?}");
    }

    #[test]
    fn limits_that_cannot_be_kept_are_named() {
        let all = EnforceableLimits { memory: true, processes: true, cpus: true };
        assert_eq!(cgroups(all).verdict, Verdict::Ok);
        let some = cgroups(EnforceableLimits { processes: false, cpus: false, ..all });
        assert!(some.verdict == Verdict::Note && some.found.contains("on processes, CPU cannot"), "{some:?}");
    }

    #[test]
    fn a_state_folder_that_is_too_deep_for_sockets_is_refused() {
        let deep = Path::new("/tmp").join("x".repeat(90));
        assert_eq!(state_folder(Some(&deep)).verdict, Verdict::Fail);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(state_folder(Some(&folder.path().join("not/there/yet"))).verdict, Verdict::Ok);
        assert_eq!(state_folder(None).verdict, Verdict::Fail);
    }

    #[tokio::test]
    async fn an_interpreter_that_does_not_run_is_named() {
        let check = python(Path::new("/nonexistent/python")).await;
        assert!(check.verdict == Verdict::Fail && check.found.contains("/nonexistent/python"));
    }
}
