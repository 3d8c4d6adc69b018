//! The same agent asked three ways: directly, through the host, and through nginx.

use super::Setup;
use super::agents::{ITEMS, LARGE, bulk_payload};
use super::load::{LoadOptions, Measured, SESSION, Workload};
use super::machinery::{Agent, HostProcess, agent, target};
use super::nginx::{self, Nginx};
use super::wire::Address;
use crate::load::{MANY, SECONDS};
use crate::report::{Section, Target};
use crate::server::payload;
use crate::stats::{Summary, significant, thousands};

/// What the host may add to the median of one connection, over what nginx adds.
const MOST_ADDED: f64 = 1.5;
/// What the host must get through, over what nginx does.
const LEAST_THROUGHPUT: f64 = 0.8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Host,
    Nginx,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Host => "host",
            Self::Nginx => "nginx",
        }
    }
}

/// What is measured: a workload over so many connections.
type Case = (Workload, usize);

const CASES: [Case; 5] = [
    (Workload::Small, 1),
    (Workload::Small, MANY),
    (Workload::Stream, 1),
    (Workload::Up, 1),
    (Workload::Down, 1),
];

/// How many rounds, and for how many seconds each. At one connection it is about some tens of microseconds
/// that are added to others, and what else runs on the machine changes more than that from one second to the
/// next: the shorter a round, the more alike is what the ways meet in it.
fn pace(case: Case) -> (usize, f64) {
    match case {
        (Workload::Small, 1) => (75, 0.12),
        _ => (25, SECONDS),
    }
}

/// One case, one way, with a figure for each round.
struct Series {
    case: Case,
    way: Way,
    options: LoadOptions,
    rounds: Vec<Measured>,
}

/// Everything that runs.
struct Stage {
    host: HostProcess,
    nginx: Option<Nginx>,
    agents: Vec<Agent>,
}

pub(super) async fn compare(setup: &Setup) -> anyhow::Result<Section> {
    let stage = Stage::set(setup).await?;
    let mut all = Vec::new();
    for case in CASES {
        let mut group = stage.series(case)?;
        for round in 0..setup.choose(pace(case).0, 3) {
            let mut order: Vec<_> = group.iter_mut().collect();
            let ways = order.len();
            order.rotate_left(round % ways);
            for series in order {
                series.rounds.push(series.options.measure()?);
            }
        }
        all.extend(group);
    }
    Ok(report(&all, stage.nginx.is_some()))
}

impl Stage {
    async fn set(setup: &Setup) -> anyhow::Result<Self> {
        let agents = vec![
            agent("small", &["serve-agent", "0"])?,
            agent("stream", &["serve-stream-agent"])?,
            agent("bulk", &["serve-bulk-agent"])?,
        ];
        let host = HostProcess::start(setup, agents).await?;
        let agents = vec![
            host.begin("small", SESSION, &payload()).await?,
            host.begin("stream", SESSION, b"{}").await?,
            host.begin("bulk", SESSION, &bulk_payload(true)).await?,
        ];
        let sockets: Vec<_> = agents.iter().map(|agent| agent.socket.clone()).collect();
        let nginx = match nginx::program() {
            Some(program) => Some(Nginx::start(program, host.folder(), &sockets).await?),
            None => None,
        };
        Ok(Self { host, nginx, agents })
    }

    fn series(&self, case: Case) -> anyhow::Result<Vec<Series>> {
        let (workload, connections) = case;
        let (n, name) = match workload {
            Workload::Small => (0, "small"),
            Workload::Stream => (1, "stream"),
            Workload::Up | Workload::Down => (2, "bulk"),
        };
        let agent = &self.agents[n];
        let mut ways = vec![
            (Way::Direct, Address::Unix(agent.socket.clone()), None),
            (Way::Host, self.host.address(), Some(self.host.pid())),
        ];
        if let Some(nginx) = &self.nginx {
            ways.push((Way::Nginx, Address::Tcp(nginx.address(n)), Some(nginx.worker()?)));
        }
        let series = ways.into_iter().map(|(way, at, between)| {
            let watch = std::iter::once(agent.pid).chain(between).collect();
            let options = LoadOptions {
                at,
                target: target(name),
                headers: Vec::new(),
                workload,
                connections,
                seconds: pace(case).1,
                watch,
            };
            Series { case, way, options, rounds: Vec::new() }
        });
        Ok(series.collect())
    }
}

/// The figures of one case, way by way.
struct Figures<'a> {
    all: &'a [Series],
    case: Case,
}

impl Figures<'_> {
    fn of(&self, way: Way, figure: impl Fn(&Measured) -> f64) -> Option<Vec<f64>> {
        let series = self.all.iter().find(|series| series.case == self.case && series.way == way)?;
        Some(series.rounds.iter().map(figure).collect())
    }

    fn ratio(&self, ours: Way, theirs: Way, figure: impl Fn(&Measured) -> f64) -> Option<Summary> {
        Summary::ratio(&self.of(ours, &figure)?, &self.of(theirs, &figure)?)
    }

    /// What a way adds to the direct one, round by round.
    fn added(&self, way: Way, figure: impl Fn(&Measured) -> f64) -> Option<Vec<f64>> {
        let (through, direct) = (self.of(way, &figure)?, self.of(Way::Direct, &figure)?);
        Some(through.iter().zip(direct).map(|(through, direct)| through - direct).collect())
    }
}

fn median(figures: &Option<Vec<f64>>) -> Option<Summary> {
    Summary::of(figures.iter().flatten().copied())
}

fn text(summary: Option<Summary>, write: fn(f64) -> String) -> String {
    summary.map(|summary| summary.text(write)).unwrap_or_default()
}

fn report(all: &[Series], with_nginx: bool) -> Section {
    let mut section = Section::titled("Through the host");
    section.paragraph(
        "The very same agent process (this project's Rust SDK, under the host's init) asked directly on its Unix \
         socket, through `agentcore serve`, and through nginx (one worker, upstream keep-alive, no buffering, no \
         access log). All share the machine with the load generator. Figures are medians of the rounds with \
         (lowest..highest), ways interleaved; CPU is processor time per exchange, all threads, user and kernel.",
    );
    if !with_nginx {
        section.paragraph(
            "nginx is not installed here (`apt-get install nginx`), so nothing is compared with it.",
        );
    }
    latency(&mut section, &Figures { all, case: (Workload::Small, 1) });
    throughput(&mut section, &Figures { all, case: (Workload::Small, MANY) });
    bulk(&mut section, all);
    section
}

const WAYS: [Way; 3] = [Way::Direct, Way::Host, Way::Nginx];

fn latency(section: &mut Section, figures: &Figures<'_>) {
    section.paragraph("1 KiB of JSON in and a short answer out, one connection, in microseconds:");
    let p50 = |round: &Measured| round.p50_us;
    let mut rows = Vec::new();
    for way in WAYS.into_iter().filter(|way| figures.of(*way, p50).is_some()) {
        let added = figures.added(way, p50).filter(|_| way != Way::Direct);
        rows.push(vec![
            way.name().to_owned(),
            text(median(&figures.of(way, p50)), significant),
            text(median(&added), significant),
            text(median(&figures.of(way, |round| round.p99_us)), significant),
            text(median(&figures.of(way, between)), significant),
            text(median(&figures.of(way, agents)), significant),
        ]);
    }
    section.table(&["way", "p50", "added to direct", "p99", "its CPU", "the agent's CPU"], rows);
    let (Some(host), Some(nginx)) = (figures.added(Way::Host, p50), figures.added(Way::Nginx, p50)) else {
        return;
    };
    if let Some(ratio) = Summary::ratio(&host, &nginx) {
        section.targets.push(Target {
            what: "p50 that the host adds, over what nginx adds, 1 connection".to_owned(),
            wanted: "at most 1.5",
            got: ratio.to_string(),
            reached: ratio.median <= MOST_ADDED,
        });
    }
}

fn throughput(section: &mut Section, figures: &Figures<'_>) {
    section.paragraph(&format!("The same over {MANY} connections:"));
    let per_second = |round: &Measured| round.per_second;
    let mut rows = Vec::new();
    for way in WAYS.into_iter().filter(|way| figures.of(*way, per_second).is_some()) {
        rows.push(vec![
            way.name().to_owned(),
            text(median(&figures.of(way, per_second)), thousands),
            text(figures.ratio(way, Way::Nginx, per_second).filter(|_| way == Way::Host), significant),
            text(median(&figures.of(way, |round| round.p99_us)), significant),
            text(median(&figures.of(way, between)), significant),
            text(median(&figures.of(way, agents)), significant),
        ]);
    }
    let head = ["way", "requests/s", "over nginx", "p99, µs", "its CPU, µs", "the agent's CPU, µs"];
    section.table(&head, rows);
    if let Some(ratio) = figures.ratio(Way::Host, Way::Nginx, per_second) {
        section.targets.push(Target {
            what: format!("requests/s through the host over those through nginx, {MANY} connections"),
            wanted: "at least 0.8",
            got: ratio.to_string(),
            reached: ratio.median >= LEAST_THROUGHPUT,
        });
    }
}

/// Streams and large bodies, which have no target.
fn bulk(section: &mut Section, all: &[Series]) {
    section.paragraph(&format!(
        "Streams of {ITEMS} server-sent events that the agent gives out one at a time, and bodies of 10 MB, over one \
         connection. The agent reads and checks a payload whole, which is part of what is timed."
    ));
    let items = ITEMS as f64;
    let megabytes = LARGE as f64 / 1e6;
    let cases = [
        (Workload::Stream, "SSE, items/s", items),
        (Workload::Up, "10 MB payload, MB/s", megabytes),
        (Workload::Down, "10 MB answer, MB/s", megabytes),
    ];
    let mut rows = Vec::new();
    for (workload, what, each) in cases {
        let figures = Figures { all, case: (workload, 1) };
        let rate = |round: &Measured| round.per_second * each;
        let cpu = |way| text(median(&figures.of(way, |round| between(round) / each)), significant);
        rows.push(vec![
            what.to_owned(),
            text(median(&figures.of(Way::Direct, rate)), thousands),
            text(median(&figures.of(Way::Host, rate)), thousands),
            text(median(&figures.of(Way::Nginx, rate)), thousands),
            text(figures.ratio(Way::Host, Way::Direct, rate), significant),
            text(figures.ratio(Way::Host, Way::Nginx, rate), significant),
            cpu(Way::Host),
            cpu(Way::Nginx),
        ]);
    }
    let head = [
        "",
        "direct",
        "host",
        "nginx",
        "host over direct",
        "host over nginx",
        "host's CPU, µs per item or MB",
        "nginx's CPU",
    ];
    section.table(&head, rows);
}

/// Processor time of what stands between.
fn between(round: &Measured) -> f64 {
    round.cpu_us.get(1).copied().unwrap_or(0.0)
}

fn agents(round: &Measured) -> f64 {
    round.cpu_us.first().copied().unwrap_or(0.0)
}
