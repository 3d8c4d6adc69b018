//! What a thousand idle sessions take of a host that polls them.

mod kind;
mod stubs;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::SystemClock;
use agentcore_runtime::{AgentDefinition, Host, HostOptions, host_runtime};
use anyhow::{Context, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use procfs::process::Process;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::kind::StubKind;
use super::Setup;
use super::load::request;
use super::wire::{Address, Wire};
use crate::children::{Program, Server, cpu_time, free_port};
use crate::report::{Section, Target};
use crate::stats::{significant, thousands};

pub(crate) use stubs::serve as serve_stubs;

const SESSIONS: u32 = 1_000;
/// KiB of the host's memory per idle session.
const MOST_MEMORY: f64 = 32.0;
/// Percent of a processor for polling them all.
const MOST_CPU: f64 = 10.0;
/// Long enough for every session to have been polled, and for buffers to have settled.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) async fn measure(setup: &Setup) -> anyhow::Result<Section> {
    let folder = tempfile::Builder::new().prefix("agentcore-idle-").tempdir()?;
    let (stub_port, host_port) = (free_port()?, free_port()?);
    let (stub_text, host_text, count) = (stub_port.to_string(), host_port.to_string(), SESSIONS.to_string());
    let path = folder.path().to_str().context("the folder's name is no text")?;
    let stubs = Program::this(["serve-stubs", path, &count, &stub_text])?;
    let stubs = Server::start(&stubs, stub_port).await?;
    let host = Program::this(["serve-stub-host", path, &host_text])?;
    let host = Server::start(&host, host_port).await?;
    let address = Address::Tcp(host.address);
    // An empty host that has done something: its threads run and its code is in memory.
    sessions(&address).await?;
    let empty = resident_kib(host.pid())?;
    begin_all(&address).await?;
    until_idle(&address).await?;
    sleep(SETTLE).await;
    let pings = Pings(Address::Tcp(stubs.address));
    let (began, cpu, pings_before) = (Instant::now(), cpu_time(host.pid())?, pings.count().await?);
    sleep(setup.choose(Duration::from_secs(20), Duration::from_secs(6))).await;
    let (elapsed, cpu) = (began.elapsed().as_secs_f64(), cpu_time(host.pid())? - cpu);
    let polled = pings.count().await? - pings_before;
    let full = resident_kib(host.pid())?;
    let figures = Figures {
        empty,
        full,
        percent: cpu.as_secs_f64() / elapsed * 100.0,
        pings_per_second: polled as f64 / elapsed,
        us_per_ping: cpu.as_secs_f64() * 1e6 / polled.max(1) as f64,
    };
    Ok(report(&figures))
}

struct Figures {
    empty: u64,
    full: u64,
    percent: f64,
    pings_per_second: f64,
    us_per_ping: f64,
}

fn report(figures: &Figures) -> Section {
    let each = (figures.full.saturating_sub(figures.empty)) as f64 / f64::from(SESSIONS);
    let mut section = Section::titled("A thousand idle sessions");
    section.paragraph(
        "A host with 1,000 idle sessions, each polled every two seconds over a Unix socket of its own; one process \
         serves all the sockets, so that the machine holds them. Memory is resident memory, and per session what the \
         host has more than when it was empty; the store with its records is part of it.",
    );
    let mebibytes = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
    section.table(
        &["", "measured"],
        vec![
            vec!["an empty host, MiB".to_owned(), mebibytes(figures.empty)],
            vec!["the host with 1,000 idle sessions, MiB".to_owned(), mebibytes(figures.full)],
            vec!["per idle session, KiB".to_owned(), significant(each)],
            vec!["pings per second".to_owned(), thousands(figures.pings_per_second)],
            vec!["CPU, % of one processor".to_owned(), significant(figures.percent)],
            vec!["CPU per ping, µs".to_owned(), significant(figures.us_per_ping)],
        ],
    );
    section.targets.push(Target {
        what: "host memory per idle session".to_owned(),
        wanted: "at most 32 KiB",
        got: format!("{} KiB", significant(each)),
        reached: each <= MOST_MEMORY,
    });
    section.targets.push(Target {
        what: "polling 1,000 sessions every 2 s".to_owned(),
        wanted: "at most 10% of one processor",
        got: format!("{}%", significant(figures.percent)),
        reached: figures.percent <= MOST_CPU,
    });
    section
}

async fn begin_all(address: &Address) -> anyhow::Result<()> {
    let mut wire = Wire::open(address).await?;
    for n in 0..SESSIONS {
        let request = request("/invocations", &format!("an-idle-session-with-number-{n:08}"), &[], b"{}");
        let answer = wire.exchange(&request).await?;
        let body = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "session {n} answered {}: {body}", answer.status);
    }
    Ok(())
}

async fn until_idle(address: &Address) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while sessions(address).await? != u64::from(SESSIONS) {
        ensure!(Instant::now() < deadline, "not all sessions became idle");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// How many sessions are idle.
async fn sessions(address: &Address) -> anyhow::Result<u64> {
    let look = b"GET /_agentcore/v1/host HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let answer = Wire::open(address).await?.exchange(look).await?;
    let host: Value = serde_json::from_slice(&answer.body)?;
    host["sessions"]["idle"].as_u64().context("the host does not count its idle sessions")
}

/// How many pings the stubs have answered.
struct Pings(Address);

impl Pings {
    async fn count(&self) -> anyhow::Result<u64> {
        let look = b"GET /count HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let answer = Wire::open(&self.0).await?.exchange(look).await?;
        Ok(String::from_utf8(answer.body)?.parse()?)
    }
}

fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let process = Process::new(pid.cast_signed())?;
    process.status()?.vmrss.context("the kernel does not say what memory the host has")
}

/// The body of the hidden command: a host whose sessions are served by the stubs in `folder`.
pub(crate) fn serve_host(folder: PathBuf, port: u16) -> anyhow::Result<()> {
    take_all_descriptors()?;
    let mut options = HostOptions::new(folder.join("state"));
    options.listen = ([127, 0, 0, 1], port).into();
    options.agents.push(AgentDefinition::new("stub", "/bin/true", "/"));
    options.limits.new_sessions_per_second = SESSIONS;
    let clock = Arc::new(SystemClock);
    let kind = Arc::new(StubKind::new(folder, clock.clone()));
    let runtime = host_runtime()?;
    runtime.block_on(async {
        let host = Host::start(options, kind, clock).await?;
        host.serve_until(std::future::pending()).await?;
        Ok(())
    })
}

/// Shells hand out fewer descriptors than a thousand sockets need.
fn take_all_descriptors() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("the limit on open files cannot be raised")
}
