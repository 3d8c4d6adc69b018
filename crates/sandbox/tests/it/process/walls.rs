//! The walls, from inside.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::sync::Arc;

use agentcore_sandbox::{
    ExecCommand, ExitStatus, NetworkMode, Sandbox, SandboxSpec, Wall, WallReport, Walls,
};
use tokio::io::AsyncReadExt;

use crate::bench::{Bench, Processes, end_of, kill, log, standing};

/// What a shell inside says.
async fn inside(sandbox: &dyn Sandbox, shell: &str) -> String {
    let mut execution = sandbox.exec(&ExecCommand { shell: shell.into() }).await.unwrap();
    let (mut output, mut error) = (String::new(), String::new());
    execution.stdout.read_to_string(&mut output).await.unwrap();
    execution.stderr.read_to_string(&mut error).await.unwrap();
    let status = execution.exit.await.unwrap();
    assert_eq!(status, ExitStatus::Code(0), "{output}{error}");
    output + &error
}

async fn idle(bench: &Processes) -> Arc<dyn Sandbox> {
    bench.run(&bench.shell("exec sleep 1000")).await
}

/// Whether these walls stand here; a test of what does not is no test.
fn stand(walls: &[Wall]) -> bool {
    let all = walls.iter().all(|wall| standing().contains(wall));
    if !all {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "not all of {walls:?} stand");
        println!("skipped: not all of {walls:?} stand here");
    }
    all
}

#[tokio::test]
async fn an_agent_is_nobody_and_has_no_rights() {
    if !stand(&[Wall::User, Wall::Capabilities]) {
        return;
    }
    let bench = Processes::new();
    let sandbox = idle(&bench).await;
    let status = inside(&*sandbox, "id -u; grep -E 'Cap|NoNewPrivs' /proc/self/status").await;
    let expected =
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| format!("{set}:\t{:016}\n", 0));
    assert_eq!(status, format!("1000\n{}NoNewPrivs:\t1\n", expected.concat()));
    kill(&*sandbox).await;
}

#[tokio::test]
async fn each_namespace_stands_alone() {
    // A root needs the processes of a namespace, and a /proc of its own is a mount.
    for (wall, with, own) in [
        (Wall::User, None, &["user"][..]),
        (Wall::Pid, None, &["mnt", "pid", "user"]),
        (Wall::Mount, Some(Wall::Pid), &["mnt", "pid", "user"]),
        (Wall::Ipc, None, &["ipc", "user"]),
        (Wall::Uts, None, &["user", "uts"]),
        (Wall::Cgroup, None, &["cgroup", "user"]),
        (Wall::Network, None, &["net", "user"]),
    ] {
        let walls: Vec<Wall> = [Some(Wall::User), Some(wall), with].into_iter().flatten().collect();
        if !stand(&walls) {
            continue;
        }
        let bench = Processes::behind(walls.into_iter().collect());
        let network = if wall == Wall::Network { NetworkMode::None } else { NetworkMode::Host };
        let spec = SandboxSpec { network, ..bench.shell("exec sleep 1000") };
        let sandbox = bench.run(&spec).await;
        assert_eq!(own_namespaces(&*sandbox), own, "{wall}");
        kill(&*sandbox).await;
    }
}

/// Those that an agent does not share with this process.
fn own_namespaces(sandbox: &dyn Sandbox) -> Vec<&'static str> {
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(sandbox.folder().join("init.json")).unwrap()).unwrap();
    let of = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let agent = record["agent_pid"].to_string();
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    kinds.into_iter().filter(|kind| of(&agent, kind) != of("self", kind)).collect()
}

#[tokio::test]
async fn only_what_was_declared_is_in_the_root() {
    if !stand(&[Wall::Mount]) {
        return;
    }
    let bench = Processes::new();
    let (sandbox, other) = (idle(&bench).await, idle(&bench).await);
    let folder = other.folder().parent().unwrap().display().to_string();
    let name = |sandbox: &dyn Sandbox| sandbox.folder().file_name().unwrap().to_str().unwrap().to_owned();
    let seen = inside(&*sandbox, &format!("ls {folder}; ls {folder}/*")).await;
    assert_eq!(seen, format!("{}\nagent.sock\nhome\njournal\ntmp\nwork\n", name(&*sandbox)));
    assert_eq!(
        inside(&*sandbox, "cd /; ls -d /root/* /home /run/* /boot /var/lib/* 2>/dev/null; true").await,
        ""
    );
    for sandbox in [sandbox, other] {
        kill(&*sandbox).await;
    }
}

#[tokio::test]
async fn the_root_cannot_be_written_to_but_an_agents_own_folders_can() {
    if !stand(&[Wall::Mount]) {
        return;
    }
    let bench = Processes::new();
    let sandbox = idle(&bench).await;
    let refused = "for at in / /usr /etc /dev /run /proc/sys/kernel; do touch $at/x 2>/dev/null && echo $at; done; true";
    assert_eq!(inside(&*sandbox, refused).await, "");
    inside(&*sandbox, "touch ~/x $TMPDIR/x /tmp/x /dev/shm/x x && echo x > /dev/null").await;
    kill(&*sandbox).await;
}

#[tokio::test]
async fn no_process_but_its_own_is_seen() {
    if !stand(&[Wall::Pid, Wall::Mount]) {
        return;
    }
    let bench = Processes::new();
    let sandbox = idle(&bench).await;
    // The inner process, the agent and the shell.
    assert_eq!(inside(&*sandbox, "echo /proc/[0-9]*").await, "/proc/1 /proc/2 /proc/3\n");
    kill(&*sandbox).await;
}

#[tokio::test]
async fn what_agents_have_no_use_for_is_refused() {
    if !stand(&[Wall::Seccomp]) {
        return;
    }
    let bench = Processes::new();
    let sandbox = idle(&bench).await;
    let script = "
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    result = libc.syscall(*arguments)
    return errno.errorcode[ctypes.get_errno()] if result == -1 else result
print(call(165, 0, 0, 0, 0, 0), call(272, 0x10000000), call(308, 0, 0), call(250, 0, 0), call(425, 1, 0), call(435, 0, 0))
for arguments in (38,), (socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC), (16, 3, 9), (40, 1), (2, 1, 262), (10, 1, 262), (2, 5, 132):
    try: print(socket.socket(*arguments))
    except OSError as error: print(errno.errorcode[error.errno], end=' ')
try: socket.socketpair(30, 1)
except OSError as error: print(errno.errorcode[error.errno], end=' ')
socket.socket(), socket.socket(16, 3, 0), socket.socketpair()
for family in 2, 10: socket.socket(family, 1, 6), socket.socket(family, 2, 17), socket.socket(family, 2, 0)
";
    let script = script.replace('\n', "\\n").replace('\'', "\"");
    let output = inside(&*sandbox, &format!("printf '{}' | python3", script.replace('%', "%%"))).await;
    // mount, unshare, setns, keyctl, io_uring_setup, clone3; and sockets: ALG, raw, netlink audit, VSOCK,
    // MPTCP twice, SCTP; and a pair of TIPC.
    if cfg!(target_arch = "x86_64") {
        assert_eq!(
            output,
            "EPERM EPERM EPERM EPERM ENOSYS ENOSYS\nEPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM "
        );
    }
    kill(&*sandbox).await;
}

#[tokio::test]
async fn landlock_alone_keeps_sessions_from_each_others_files() {
    if !stand(&[Wall::Landlock]) {
        return;
    }
    let bench = Processes::behind([Wall::Landlock].into());
    let (sandbox, other) = (idle(&bench).await, idle(&bench).await);
    let folder = other.folder().display();
    let tried = format!(
        "cd /; for at in {folder} {folder}/home ~/.. /root; do ls $at/ $at/* 2>/dev/null; cat $at/log 2>/dev/null; done; true"
    );
    assert_eq!(inside(&*sandbox, &tried).await, "");
    assert_eq!(inside(&*sandbox, "touch ~/x $TMPDIR/x x && echo x > /dev/null && cd ~ && ls").await, "x\n");
    assert_eq!(
        inside(&*sandbox, "touch /tmp/agentcore-test-x 2>/dev/null || echo refused").await,
        "refused\n"
    );
    for sandbox in [sandbox, other] {
        kill(&*sandbox).await;
    }
}

#[tokio::test]
async fn landlock_alone_keeps_sessions_from_others_processes_and_abstract_sockets() {
    if !stand(&[Wall::Landlock]) {
        return;
    }
    let bench = Processes::behind([Wall::Landlock].into());
    let name = format!("agentcore-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    let other = idle(&bench).await;
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(other.folder().join("init.json")).unwrap()).unwrap();
    let script = "
import ctypes, errno, os, socket, sys
version = ctypes.CDLL(None).syscall(444, None, 0, 1)
def tried(act):
    try: act()
    except OSError as error: return errno.errorcode[error.errno]
    return 'done'
client = socket.socket(socket.AF_UNIX)
if version < 6: print('too old')
else: print(tried(lambda: os.kill(PID, 0)), tried(lambda: client.connect('\\0NAME')))
";
    let script = script.replace("PID", &record["agent_pid"].to_string()).replace("NAME", &name);
    let sandbox = bench.run(&bench.python(&script)).await;
    end_of(&*sandbox).await;
    let said = log(&*sandbox);
    assert!(["EPERM EPERM\n", "too old\n"].contains(&&*said), "{said}");
    kill(&*other).await;
}

#[tokio::test]
async fn landlock_alone_keeps_an_agent_on_the_machines_network_from_listening_where_others_may_want_to() {
    if !stand(&[Wall::Landlock]) {
        return;
    }
    let script = "
import ctypes, errno, os, socket
version = ctypes.CDLL(None).syscall(444, None, 0, 1)
def tried(port):
    try: socket.create_server(('127.0.0.1', port))
    except OSError as error: return errno.errorcode[error.errno]
    return 'listens'
# Ports of its own are from 20000 on.
own = int(os.environ['PORT'])
if version < 4: print('too old')
else: print(tried(own), tried(0), tried(19999))
";
    let bench = Processes::behind([Wall::Landlock].into());
    let sandbox = bench.run(&bench.python(script)).await;
    end_of(&*sandbox).await;
    let said = log(&*sandbox);
    assert!(["listens listens EACCES\n", "too old\n"].contains(&&*said), "{said}");
}

#[tokio::test]
async fn a_command_may_signal_its_agent_where_nobody_else_is_seen() {
    if !stand(&[Wall::Pid, Wall::Mount, Wall::Landlock]) {
        return;
    }
    let bench = Processes::new();
    let sandbox = idle(&bench).await;
    // The first is the inner process, and hears nothing.
    assert_eq!(inside(&*sandbox, "kill -KILL 1; kill -0 2 && echo heard").await, "heard\n");
    kill(&*sandbox).await;
}

#[tokio::test]
async fn an_agent_that_crashes_leaves_no_core_dump() {
    if !stand(&[Wall::Capabilities]) {
        return;
    }
    let bench = Processes::behind([Wall::Capabilities].into());
    let sandbox =
        bench.run(&bench.python("import resource; print(resource.getrlimit(resource.RLIMIT_CORE))")).await;
    end_of(&*sandbox).await;
    assert_eq!(log(&*sandbox), "(1, 1)\n");
}

#[tokio::test]
async fn code_that_is_its_owners_alone_can_be_read_and_not_be_written() {
    if !stand(&[Wall::User, Wall::Mount]) {
        return;
    }
    let bench = Processes::new();
    let secret = bench.code().join("secret");
    fs::write(&secret, "word\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(bench.code(), fs::Permissions::from_mode(0o700)).unwrap();
    let sandbox = idle(&bench).await;
    assert_eq!(
        inside(&*sandbox, "cat secret; echo x 2>/dev/null > secret || echo refused").await,
        "word\nrefused\n"
    );
    kill(&*sandbox).await;
}

#[tokio::test]
async fn a_hosts_state_in_the_code_folder_is_hidden() {
    if !stand(&[Wall::Mount, Wall::Landlock]) {
        return;
    }
    for walls in [standing(), [Wall::Landlock].into()] {
        let bench = Processes::behind_with_state_in_code(walls);
        let sandbox = bench.run(&bench.shell("exec sleep 1000")).await;
        let code = bench.code().display().to_string();
        assert_eq!(
            inside(&*sandbox, &format!("cat {code}/.agentcore/keys.json 2>/dev/null; cat word")).await,
            "found\n"
        );
        kill(&*sandbox).await;
    }
}

#[tokio::test]
async fn nothing_of_a_hosts_state_is_shown_whatever_names_it() {
    if !stand(&[Wall::User, Wall::Mount]) {
        return;
    }
    let bench = Processes::behind_with_state_in_code(standing());
    let other = bench.run(&bench.shell("exec sleep 1000")).await;
    let state = bench.code().join(".agentcore");
    let mut spec = bench.shell("exec sleep 1000");
    spec.env.insert("PYTHONPATH".into(), other.folder().into());
    spec.env.insert("SSL_CERT_FILE".into(), state.join("keys.json").into());
    spec.env.insert("SSL_CERT_DIR".into(), "/etc".into());
    let sandbox = bench.run(&spec).await;
    let (state, other_folder) = (state.display(), other.folder().display());
    let seen = format!(
        "cat {state}/keys.json 2>/dev/null; ls {other_folder} 2>/dev/null; grep -c agent /etc/passwd"
    );
    assert_eq!(inside(&*sandbox, &seen).await, "1\n");
    for sandbox in [sandbox, other] {
        kill(&*sandbox).await;
    }
}

#[tokio::test]
async fn confined_code_sees_nothing_that_variables_name() {
    if !stand(&[Wall::User, Wall::Mount]) {
        return;
    }
    let bench = Processes::new();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("word"), "found\n").unwrap();
    let ask = format!("cat {}/word 2>/dev/null || echo nothing", elsewhere.path().display());
    for (confined, seen) in [(false, "found\n"), (true, "nothing\n")] {
        let mut spec = bench.shell("exec sleep 1000");
        spec.env.insert("PYTHONPATH".into(), elsewhere.path().into());
        spec.confined = confined;
        let sandbox = bench.run(&spec).await;
        assert_eq!(inside(&*sandbox, &ask).await, seen);
        kill(&*sandbox).await;
    }
}

#[tokio::test]
async fn code_below_the_hosts_state_is_refused() {
    if !stand(&[Wall::User, Wall::Mount]) {
        return;
    }
    let bench = Processes::behind_with_state_in_code(standing());
    let mut spec = bench.shell("true");
    spec.code = bench.code().join(".agentcore/i");
    let refused = bench.kind().start(&spec).await.err().unwrap().to_string();
    assert!(refused.contains("the host's state"), "{refused}");
}

#[tokio::test]
async fn as_many_walls_stand_for_a_user_without_rights() {
    if !nix::unistd::geteuid().is_root() || !stand(&[Wall::User]) {
        return println!("skipped: only root can be somebody else");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let init = folder.path().join("init");
    fs::copy(crate::bench::init(), &init).unwrap();
    let probe = std::process::Command::new(init).arg("--probe").uid(65534).gid(65534).output().unwrap();
    let report: WallReport = serde_json::from_slice(&probe.stdout).unwrap();
    let but_for_network =
        |walls: Walls| walls.into_iter().filter(|wall| *wall != Wall::Network).collect::<Walls>();
    assert_eq!(but_for_network(report.standing.clone()), but_for_network(standing()), "{report}");
}
