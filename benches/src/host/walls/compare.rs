//! Sessions by turns: without walls, with all of them on the host's network, and on one of their own.

use std::path::Path;

use agentcore_runtime::AgentDefinition;
use agentcore_sandbox::{NetworkMode, Wall};
use anyhow::ensure;
use tokio::time::Instant;

use super::hosts;
use crate::host::load::request;
use crate::host::machinery::{HostProcess, agent, python_agent, target};
use crate::host::wire::Wire;
use crate::report::{Section, Target};
use crate::server::payload;
use crate::stats::Summary;

/// What all walls may add to the first answer, in milliseconds.
const MOST_ADDED: f64 = 20.0;
/// What an invocation's median may be over that without walls.
const MOST_RATIO: f64 = 1.05;
/// Invocations of each session, after its first.
const INVOCATIONS: usize = 200;

/// How a session is walled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Plain,
    Walled(NetworkMode),
}

impl Variant {
    const ALL: [Self; 3] = [Self::Plain, Self::Walled(NetworkMode::Host), Self::Walled(NetworkMode::Egress)];

    fn network(self) -> NetworkMode {
        match self {
            Self::Plain => NetworkMode::Host,
            Self::Walled(network) => network,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "no walls",
            Self::Walled(NetworkMode::Egress) => "all walls, egress",
            Self::Walled(_) => "all walls, host",
        }
    }
}

/// An SDK, and how often sessions of it are begun.
struct Contender {
    name: &'static str,
    definition: AgentDefinition,
    runs: usize,
}

/// Milliseconds, one figure for each session.
#[derive(Default)]
struct Figures {
    first: Vec<f64>,
    /// The median of each session's invocations.
    later: Vec<f64>,
}

/// Both hosts.
struct Hosts {
    plain: HostProcess,
    walled: HostProcess,
}

pub(super) async fn compare(python: Option<&Path>, quick: bool) -> anyhow::Result<Section> {
    let report = hosts::report()?;
    let has_networks = report.standing.contains(&Wall::Network);
    let is_possible = |variant: &Variant| variant.network() == NetworkMode::Host || has_networks;
    let variants: Vec<Variant> = Variant::ALL.into_iter().filter(is_possible).collect();
    let contenders = contenders(python, quick)?;
    let hosts = Hosts::start(&contenders, &variants).await?;
    let mut section = Section::titled("Sessions with all walls and with none");
    section.paragraph(&format!(
        "Milliseconds from the request that begins a session to the end of its answer, and the median of {INVOCATIONS} \
         invocations of each session after that, one after the other. Two hosts that differ in nothing but the walls, runs \
         interleaved, each session stopped before the next run. The walls: {report}."
    ));
    let mut rows = Vec::new();
    for contender in &contenders {
        let figures = contender.measure(&hosts, &variants).await?;
        rows.extend(
            variants.iter().zip(&figures).map(|(variant, it)| row(contender, *variant, it, &figures[0])),
        );
        for (variant, walled) in variants.iter().zip(&figures).skip(1) {
            section.targets.extend(targets(contender, *variant, walled, &figures[0]));
        }
    }
    section.table(&["agent", "sessions", "runs", "first answer", "added", "invocation", "ratio"], rows);
    Ok(section)
}

fn contenders(python: Option<&Path>, quick: bool) -> anyhow::Result<Vec<Contender>> {
    let runs = |thorough| if quick { 5 } else { thorough };
    let definition = agent("rust", &["serve-agent", "0"])?;
    let rust = Contender { name: "Rust SDK", definition, runs: runs(41) };
    let Some(python) = python else { return Ok(vec![rust]) };
    let definition = python_agent("python", python, "0")?;
    let python = Contender { name: "official Python SDK", definition, runs: runs(15) };
    Ok(vec![rust, python])
}

fn row(contender: &Contender, variant: Variant, figures: &Figures, plain: &Figures) -> Vec<String> {
    let text = |summary: Option<Summary>| summary.map(|it| it.to_string()).unwrap_or_default();
    let walled = |summary: Option<Summary>| text(summary.filter(|_| variant != Variant::Plain));
    vec![
        contender.name.to_owned(),
        variant.name().to_owned(),
        contender.runs.to_string(),
        text(Summary::of(figures.first.clone())),
        walled(Summary::of(figures.added_to(plain))),
        text(Summary::of(figures.later.clone())),
        walled(Summary::ratio(&figures.later, &plain.later)),
    ]
}

fn targets(contender: &Contender, variant: Variant, walled: &Figures, plain: &Figures) -> Vec<Target> {
    let about = format!("{}, {}", contender.name, variant.name());
    let first = Summary::of(walled.added_to(plain)).map(|added| Target {
        what: format!("first answer over that without walls, {about}"),
        wanted: "at most 20 ms",
        got: format!("{added} ms"),
        reached: added.median <= MOST_ADDED,
    });
    let later = Summary::ratio(&walled.later, &plain.later).map(|ratio| Target {
        what: format!("an invocation over one without walls, {about}"),
        wanted: "at most 1.05",
        got: ratio.to_string(),
        reached: ratio.median <= MOST_RATIO,
    });
    first.into_iter().chain(later).collect()
}

impl Hosts {
    async fn start(contenders: &[Contender], variants: &[Variant]) -> anyhow::Result<Self> {
        let of = |variant: &Variant| contenders.iter().map(|it| it.agent(*variant)).collect::<Vec<_>>();
        let (plain, walled): (Vec<_>, Vec<_>) =
            variants.iter().partition(|variant| **variant == Variant::Plain);
        let plain = hosts::start(false, plain.into_iter().flat_map(of).collect()).await?;
        let walled = hosts::start(true, walled.into_iter().flat_map(of).collect()).await?;
        Ok(Self { plain, walled })
    }

    fn of(&self, variant: Variant) -> &HostProcess {
        if variant == Variant::Plain { &self.plain } else { &self.walled }
    }
}

impl Contender {
    /// What is served for a variant: one host may serve several, by names of their own.
    fn agent(&self, variant: Variant) -> AgentDefinition {
        let mut agent = self.definition.clone();
        agent.name = format!("{}_{}", agent.name, variant.name().replace([',', ' '], "_"));
        agent.network = Some(variant.network());
        agent
    }

    /// Figures for each variant.
    async fn measure(&self, hosts: &Hosts, variants: &[Variant]) -> anyhow::Result<Vec<Figures>> {
        let mut figures: Vec<Figures> = variants.iter().map(|_| Figures::default()).collect();
        // The first start reads files that no later one does, and is not counted.
        for run in 0..=self.runs {
            for turn in 0..variants.len() {
                let at = (run + turn) % variants.len();
                let (first, later) = self.session(hosts, variants[at], run).await?;
                if run > 0 {
                    figures[at].first.push(first);
                    figures[at].later.push(later);
                }
            }
        }
        Ok(figures)
    }

    async fn session(&self, hosts: &Hosts, variant: Variant, run: usize) -> anyhow::Result<(f64, f64)> {
        let (host, agent) = (hosts.of(variant), self.agent(variant).name);
        let session = format!("a-session-behind-walls-or-not-number-{run:04}");
        let request = request(&target(&agent), &session, &[], &payload());
        let mut wire = Wire::open(&host.address()).await?;
        let mut ask = async || {
            let began = Instant::now();
            let answer = wire.exchange(&request).await?;
            let took = began.elapsed();
            let body = String::from_utf8_lossy(&answer.body);
            ensure!(answer.status == 200, "{agent} answered {}: {body}", answer.status);
            anyhow::Ok(took.as_secs_f64() * 1e3)
        };
        let first = ask().await?;
        let mut later = Vec::with_capacity(INVOCATIONS);
        for _ in 0..INVOCATIONS {
            later.push(ask().await?);
        }
        host.stop(&agent, &session).await?;
        Ok((first, Summary::of(later).map_or(f64::NAN, |later| later.median)))
    }
}

impl Figures {
    /// What is more than without walls, run by run.
    fn added_to(&self, plain: &Self) -> Vec<f64> {
        self.first.iter().zip(&plain.first).map(|(walled, plain)| walled - plain).collect()
    }
}
