//! Hosts that differ in nothing but their walls.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use agentcore_protocol::SystemClock;
use agentcore_runtime::{AgentDefinition, Host, HostOptions, host_runtime};
use agentcore_sandbox::{ProcessKind, ProcessOptions, WallReport};
use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::INIT_COMMAND;
use crate::children::Program;
use crate::host::machinery::HostProcess;

/// Which walls stand here.
pub(super) fn report() -> anyhow::Result<WallReport> {
    sandboxes()?.probe().context("the walls cannot be looked at")
}

/// A host with every wall that stands, or with none.
pub(super) async fn start(has_walls: bool, agents: Vec<AgentDefinition>) -> anyhow::Result<HostProcess> {
    HostProcess::start_as(agents, |options| {
        let mut arguments = vec![OsString::from("serve-processes"), options.into()];
        arguments.extend(has_walls.then(|| "--walls".into()));
        Program::this(arguments)
    })
    .await
}

/// The body of the hidden command.
pub(crate) fn serve_host(options: &Path, has_walls: bool) -> anyhow::Result<()> {
    let options: HostOptions = serde_json::from_slice(&std::fs::read(options)?)?;
    let mut sandboxes = sandboxes()?;
    sandboxes.hidden = vec![options.state.clone()];
    if has_walls {
        sandboxes.walls = sandboxes.probe()?.standing;
    }
    let runtime = host_runtime()?;
    runtime.block_on(async {
        let clock = Arc::new(SystemClock);
        let kind = ProcessKind::new(sandboxes, clock.clone())?;
        let host = Host::start(options, Arc::new(kind), clock).await?;
        let mut asked_to_end = signal(SignalKind::terminate())?;
        let until = async move {
            asked_to_end.recv().await;
        };
        host.serve_until(until).await?;
        Ok(())
    })
}

/// Sandboxes whose init is this program.
fn sandboxes() -> anyhow::Result<ProcessOptions> {
    let this = std::env::current_exe().context("this program cannot tell where it is")?;
    Ok(ProcessOptions::new(vec![this.into(), INIT_COMMAND.into()]))
}
