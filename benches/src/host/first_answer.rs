//! The first answer of a new session, against that of the same agent as a bare process.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use agentcore_runtime::AgentDefinition;
use anyhow::{Context, ensure};
use tokio::time::{Instant, sleep};

use super::Setup;
use super::load::request;
use super::machinery::{HostProcess, agent, python_agent, python_script, target};
use super::wire::{Address, Wire};
use crate::children::free_port;
use crate::report::{Section, Target};
use crate::server::payload;
use crate::stats::Summary;

/// Between two attempts to reach a bare process, which nobody waits for otherwise.
const ATTEMPT: Duration = Duration::from_micros(200);
/// What the host may add for an agent in Rust, in milliseconds.
const MOST_ADDED: f64 = 10.0;
/// How much longer it may take for one in Python.
const MOST_RATIO: f64 = 1.15;

/// An agent, and how it runs without a host.
struct Contender {
    name: &'static str,
    definition: AgentDefinition,
    program: PathBuf,
    arguments: Vec<String>,
    runs: usize,
}

/// Milliseconds to the first answer, a figure for each run.
#[derive(Default)]
struct Runs {
    bare: Vec<f64>,
    host: Vec<f64>,
}

pub(super) async fn compare(setup: &Setup) -> anyhow::Result<Section> {
    let contenders = contenders(setup)?;
    let definitions = contenders.iter().map(|contender| contender.definition.clone()).collect();
    let host = HostProcess::start(setup, definitions).await?;
    let mut section = Section::titled("The first answer of a new session");
    section.paragraph(
        "Milliseconds from the request that begins a session to the end of its answer, against the same program \
         started by itself, from its start to the end of its first answer (asked every 0.2 ms whether it listens). \
         Runs interleaved, each session stopped before the next run.",
    );
    let mut rows = Vec::new();
    for contender in contenders {
        let runs = contender.measure(&host).await?;
        let summaries = [runs.bare.clone(), runs.host.clone(), runs.added()];
        let [bare, hosted, added] = summaries.map(|runs| Summary::of(runs).map(|runs| runs.to_string()));
        let ratio = Summary::ratio(&runs.host, &runs.bare);
        rows.push(vec![
            contender.name.to_owned(),
            contender.runs.to_string(),
            bare.unwrap_or_default(),
            hosted.unwrap_or_default(),
            added.unwrap_or_default(),
            ratio.map(|ratio| ratio.to_string()).unwrap_or_default(),
        ]);
        section.targets.extend(contender.target(&runs));
    }
    section.table(&["agent", "runs", "bare process", "new session", "added", "ratio"], rows);
    Ok(section)
}

fn contenders(setup: &Setup) -> anyhow::Result<Vec<Contender>> {
    let port = free_port()?.to_string();
    let definition = agent("rust", &["serve-agent", &port])?;
    let rust = Contender {
        name: "Rust SDK",
        program: definition.program.clone(),
        arguments: definition.args.clone(),
        definition,
        runs: setup.choose(31, 15),
    };
    let Some(python) = &setup.python else { return Ok(vec![rust]) };
    let port = free_port()?.to_string();
    let python = Contender {
        name: "official Python SDK",
        definition: python_agent("python", python, &port)?,
        program: python.clone(),
        arguments: vec![python_script().to_string_lossy().into_owned(), port],
        runs: setup.choose(31, 5),
    };
    Ok(vec![rust, python])
}

impl Contender {
    async fn measure(&self, host: &HostProcess) -> anyhow::Result<Runs> {
        // The first start reads files that no later one does.
        self.bare().await?;
        self.hosted(host, self.runs).await?;
        let mut runs = Runs::default();
        for run in 0..self.runs {
            if run % 2 == 0 {
                runs.bare.push(self.bare().await?);
                runs.host.push(self.hosted(host, run).await?);
            } else {
                runs.host.push(self.hosted(host, run).await?);
                runs.bare.push(self.bare().await?);
            }
        }
        Ok(runs)
    }

    async fn bare(&self) -> anyhow::Result<f64> {
        let port = self.arguments.last().context("the agent has no port")?;
        let address: Address = format!("tcp:127.0.0.1:{port}").parse()?;
        let request = request("/invocations", "a-bare-process-knows-no-sessions-yet", &[], &payload());
        let began = Instant::now();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Bare(command.spawn().context("the agent cannot be started")?);
        let mut wire = loop {
            match Wire::open(&address).await {
                Ok(wire) => break wire,
                Err(_) => ensure!(process.0.try_wait()?.is_none(), "the {} agent ended at once", self.name),
            }
            sleep(ATTEMPT).await;
        };
        let answer = wire.exchange(&request).await?;
        let took = began.elapsed();
        ensure!(answer.status == 200, "the {} agent answered {}", self.name, answer.status);
        Ok(took.as_secs_f64() * 1e3)
    }

    async fn hosted(&self, host: &HostProcess, run: usize) -> anyhow::Result<f64> {
        let agent = &self.definition.name;
        let session = format!("a-session-for-one-answer-number-{run:04}");
        let request = request(&target(agent), &session, &[], &payload());
        let mut wire = Wire::open(&host.address()).await?;
        let began = Instant::now();
        let answer = wire.exchange(&request).await?;
        let took = began.elapsed();
        let body = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "a new session answered {}: {body}", answer.status);
        host.stop(agent, &session).await?;
        Ok(took.as_secs_f64() * 1e3)
    }

    fn target(&self, runs: &Runs) -> Option<Target> {
        let what = format!("first answer of a new session over the bare process, {}", self.name);
        Some(if self.definition.name == "rust" {
            let added = Summary::of(runs.added())?;
            let got = format!("{added} ms");
            Target { what, wanted: "at most 10 ms", got, reached: added.median <= MOST_ADDED }
        } else {
            let ratio = Summary::ratio(&runs.host, &runs.bare)?;
            Target {
                what,
                wanted: "at most 1.15",
                got: ratio.to_string(),
                reached: ratio.median <= MOST_RATIO,
            }
        })
    }
}

impl Runs {
    /// What the host adds, run by run.
    fn added(&self) -> Vec<f64> {
        self.host.iter().zip(&self.bare).map(|(host, bare)| host - bare).collect()
    }
}

/// A process that ends when this is dropped.
struct Bare(Child);

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended already; either way there is nothing more to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
