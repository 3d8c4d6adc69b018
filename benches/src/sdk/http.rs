//! `/ping` and `/invocations` against other servers.

use anyhow::ensure;

use super::Setup;
use crate::children::Server;
use crate::load::{self, LoadOptions, MANY, Measured, SECONDS};
use crate::report::{Section, Target};
use crate::server::{Kind, Path};
use crate::stats::{Summary, significant, thousands};

/// Who runs where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The server and the load generator share all processors.
    Shared,
    /// Each has one to itself.
    Apart,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Shared => "all processors shared",
            Self::Apart => "a processor each",
        }
    }
}

/// One server under one kind of load, with a figure for each round.
struct Series {
    kind: Kind,
    path: Path,
    place: Place,
    connections: usize,
    rounds: Vec<Measured>,
}

impl Series {
    fn of(&self, figure: fn(&Measured) -> f64) -> Vec<f64> {
        self.rounds.iter().map(figure).collect()
    }
}

pub(super) async fn compare(setup: &Setup) -> anyhow::Result<Section> {
    let mut series = Vec::new();
    let places = [Some(Place::Shared), setup.apart.map(|_| Place::Apart)];
    for place in places.into_iter().flatten() {
        series.extend(measure(setup, place).await?);
    }
    let mut section = Section::titled("Requests");
    section.paragraph(
        "`/invocations` takes 1 KiB of JSON, a prompt of some 900 bytes and a little about it, and answers with \
         the prompt. The agents parse the one and write the other: the Rust agent with types of its own, as Rust \
         authors do, the untyped one and the Python one as JSON of any shape. Bare hyper reads the payload and sends \
         an answer that it has ready; hyper and serde_json does the untyped agent's work without an SDK. \
         CPU is the server's processor time per request, all threads, user and kernel. Figures are medians of the \
         rounds with (lowest..highest); a ratio is the Rust agent's figure over the other server's, its span that \
         of the rounds.",
    );
    throughput(&mut section, &series);
    latency(&mut section, &series);
    Ok(section)
}

async fn measure(setup: &Setup, place: Place) -> anyhow::Result<Vec<Series>> {
    let cpu = setup.apart.filter(|_| place == Place::Apart).map(|cpus| cpus.server);
    let mut servers = Vec::new();
    for kind in &setup.kinds {
        servers.push((kind, kind.start(cpu).await?));
    }
    check(&servers).await?;
    let mut series = Vec::new();
    for path in Path::ALL {
        let serving: Vec<_> = servers.iter().filter(|(kind, _)| kind.differs_on(path)).collect();
        series.extend(rounds(setup, (place, path, MANY), &serving)?);
        if place == Place::Shared {
            series.extend(rounds(setup, (place, path, 1), &serving)?);
        }
    }
    Ok(series)
}

/// All servers in turn, round after round, so that whatever else the machine does meets them all.
fn rounds(
    setup: &Setup,
    (place, path, connections): (Place, Path, usize),
    servers: &[&(&Kind, Server)],
) -> anyhow::Result<Vec<Series>> {
    let cpu = setup.apart.filter(|_| place == Place::Apart).map(|cpus| cpus.generator);
    let empty = |kind: &Kind| Series { kind: kind.clone(), path, place, connections, rounds: Vec::new() };
    let mut series: Vec<Series> = servers.iter().map(|(kind, _)| empty(kind)).collect();
    for round in 0..setup.choose(21, 3) {
        let mut order: Vec<_> = series.iter_mut().zip(servers).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (series, (_, server)) in order {
            let (address, watch, seconds) = (server.address, server.pid(), SECONDS);
            let options = LoadOptions { address, path, connections, seconds, rest_ms: 0, watch };
            series.rounds.push(options.measure(cpu)?);
        }
    }
    Ok(series)
}

/// Servers that answer differently are not compared.
async fn check(servers: &[(&Kind, Server)]) -> anyhow::Result<()> {
    for path in Path::ALL {
        let mut expected = None;
        for (kind, server) in servers {
            let mut answer: serde_json::Value =
                serde_json::from_slice(&load::fetch(server.address, path).await?)?;
            if let Some(time) = answer.get_mut("time_of_last_update") {
                *time = 0.into();
            }
            let expected = expected.get_or_insert_with(|| answer.clone());
            ensure!(*expected == answer, "{} answers {} with {answer}", kind.name(), path.as_str());
        }
    }
    Ok(())
}

/// The agent's series, and one of another server beside it.
fn pairs(series: &[Series], connections: usize) -> impl Iterator<Item = (&Series, &Series)> {
    series.iter().filter(move |one| one.connections == connections).filter_map(move |other| {
        let agent = series.iter().find(|one| {
            one.kind == Kind::Agent
                && (one.path, one.place, one.connections) == (other.path, other.place, connections)
        });
        agent.map(|agent| (agent, other))
    })
}

fn throughput(section: &mut Section, series: &[Series]) {
    let mut rows = Vec::new();
    for (agent, other) in pairs(series, MANY) {
        let ratio = |figure| Summary::ratio(&agent.of(figure), &other.of(figure));
        let figure = |figure| Summary::of(other.of(figure));
        let (Some(per_second), Some(cpu), Some(faster), Some(dearer), Some(generator)) = (
            figure(|round| round.requests_per_second),
            figure(|round| round.server_cpu_us),
            ratio(|round| round.requests_per_second),
            ratio(|round| round.server_cpu_us),
            figure(|round| round.generator_cpu_us),
        ) else {
            continue;
        };
        let itself = other.kind == Kind::Agent;
        rows.push(vec![
            other.path.as_str().to_owned(),
            other.place.name().to_owned(),
            other.kind.name().to_owned(),
            per_second.text(thousands),
            if itself { String::new() } else { faster.to_string() },
            cpu.to_string(),
            if itself { String::new() } else { dearer.to_string() },
            significant(generator.median),
        ]);
        if other.kind == Kind::Hyper {
            section.targets.push(target(other, faster));
        }
    }
    let head =
        ["path", "where", "server", "requests/s", "ratio", "CPU, µs", "CPU ratio", "generator's CPU, µs"];
    section.paragraph(&format!("Throughput over {MANY} connections:"));
    section.table(&head, rows);
}

fn target(other: &Series, ratio: Summary) -> Target {
    let (wanted, least) = match other.path {
        Path::Ping => ("at least 0.9", 0.9),
        Path::Invocations => ("at least 0.8", 0.8),
    };
    Target {
        what: format!("{} requests/s over bare hyper's, {}", other.path.as_str(), other.place.name()),
        wanted,
        got: ratio.to_string(),
        reached: ratio.median >= least,
    }
}

fn latency(section: &mut Section, series: &[Series]) {
    let mut rows = Vec::new();
    for (agent, other) in pairs(series, 1) {
        let figure = |figure| Summary::of(other.of(figure)).map(|summary| summary.to_string());
        let ratio =
            |figure| Summary::ratio(&agent.of(figure), &other.of(figure)).map(|ratio| ratio.to_string());
        let unless_itself =
            |ratio: Option<String>| ratio.filter(|_| other.kind != Kind::Agent).unwrap_or_default();
        rows.push(vec![
            other.path.as_str().to_owned(),
            other.place.name().to_owned(),
            other.kind.name().to_owned(),
            figure(|round| round.p50_us).unwrap_or_default(),
            unless_itself(ratio(|round| round.p50_us)),
            figure(|round| round.p99_us).unwrap_or_default(),
            unless_itself(ratio(|round| round.p99_us)),
        ]);
    }
    section.paragraph("Latency over 1 connection, in microseconds:");
    section.table(&["path", "where", "server", "p50", "ratio", "p99", "ratio"], rows);
}
