//! The processes that are measured.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

/// How long a server may take to listen. Python imports for a while.
const START_UP: Duration = Duration::from_secs(20);

/// A command of this program, or another program, that may be kept on one processor.
pub(crate) struct Program {
    arguments: Vec<OsString>,
}

impl Program {
    /// This program again, with one of its hidden commands.
    pub(crate) fn this(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Self> {
        let this = std::env::current_exe().context("this program cannot tell where it is")?;
        Ok(Self::other(this, arguments))
    }

    pub(crate) fn other(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        Self { arguments: std::iter::once(program.as_ref().to_owned()).chain(arguments).collect() }
    }

    /// The same, kept on processor `cpu`, if one is named.
    pub(crate) fn on_cpu(self, cpu: Option<usize>) -> anyhow::Result<Self> {
        let Some(cpu) = cpu else { return Ok(self) };
        let prefix = [OsString::from("on-cpu"), cpu.to_string().into(), "--".into()];
        Self::this(prefix.into_iter().chain(self.arguments))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.arguments[0]);
        // What servers log is no part of the measurement, though its cost is.
        command.args(&self.arguments[1..]).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs to the end, and reads the JSON that it prints.
    pub(crate) fn report<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        let output = self.command().stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("{:?} cannot be started", self.arguments))?;
        if !output.status.success() {
            bail!("{:?} failed: {}", self.arguments, output.status);
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{:?} printed no JSON", self.arguments))
    }
}

/// A server under measurement. It ends when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `program` and waits until it listens on `port`.
    pub(crate) async fn start(program: &Program, port: u16) -> anyhow::Result<Self> {
        Self::spawn(program, port)?.listening(Duration::from_millis(20)).await
    }

    /// Starts `program`, which is going to listen on `port`.
    pub(crate) fn spawn(program: &Program, port: u16) -> anyhow::Result<Self> {
        let child = program.command().stdout(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("{:?} cannot be started", program.arguments))?;
        Ok(Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    /// Waits until it listens, and asks whether it does `every` so often.
    pub(crate) async fn listening(mut self, every: Duration) -> anyhow::Result<Self> {
        let deadline = Instant::now() + START_UP;
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server for {} ended at once: {status}", self.address);
            }
            if Instant::now() > deadline {
                bail!("nobody listens on {}", self.address);
            }
            sleep(every).await;
        }
        Ok(self)
    }

    /// Stops it from running, so that it does not disturb the measurement of another.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it run again.
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.pid())?), signal).context("a server has ended")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the server prints. To be taken once.
    pub(crate) fn output(&mut self) -> anyhow::Result<ChildStdout> {
        self.child.stdout.take().context("the server's output was taken before")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; either way there is nothing more to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on at the moment.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Time that all threads of a process have spent on processors, those included that have ended.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?;
    Ok(clock.now()?.into())
}

/// Replaces this process by another program, kept on one processor.
pub(crate) fn become_program_on(cpu: usize, program: &[OsString]) -> anyhow::Result<()> {
    let (name, arguments) = program.split_first().context("no program is named")?;
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &cpus)
        .with_context(|| format!("processor {cpu} is not to be had"))?;
    Err(Command::new(name).args(arguments).exec()).with_context(|| format!("{name:?} cannot be started"))
}
