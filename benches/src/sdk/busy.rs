//! `/ping` while every thread for blocking handlers is taken.

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;

use anyhow::ensure;

use super::Setup;
use crate::children::{Program, Server, free_port};
use crate::load::{self, LoadOptions};
use crate::report::{Section, Target};
use crate::server::Path;
use crate::server::busy_agent::{COMPUTE, SLEEP};
use crate::stats::Summary;

/// As many handlers as run at once unless an author says otherwise.
const HANDLERS: usize = 64;

/// Between two pings. One that asks again at once takes more of the processor than its share, and
/// is then kept waiting for that; platforms ask every other second.
const REST_MS: u64 = 5;

const STATES: [(&str, Option<&str>); 3] =
    [("no handler runs", None), ("64 handlers sleep", Some(SLEEP)), ("64 handlers compute", Some(COMPUTE))];

/// What each round saw in one state.
#[derive(Default)]
struct Pings {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

pub(super) async fn compare(setup: &Setup) -> anyhow::Result<Section> {
    let mut agent = BusyAgent::start(setup).await?;
    let mut seen = STATES.map(|_| Pings::default());
    for _ in 0..setup.choose(7, 3) {
        for (pings, (_, handlers)) in seen.iter_mut().zip(STATES) {
            agent.ping_while(setup, handlers, pings).await?;
        }
    }
    Ok(report(&seen))
}

struct BusyAgent {
    server: Server,
    output: BufReader<ChildStdout>,
}

impl BusyAgent {
    async fn start(setup: &Setup) -> anyhow::Result<Self> {
        let port = free_port()?;
        let program = Program::this(["serve-busy-agent", &port.to_string()])?;
        let program = program.on_cpu(setup.apart.map(|cpus| cpus.server))?;
        let mut server = Server::start(&program, port).await?;
        let output = BufReader::new(server.output()?);
        Ok(Self { server, output })
    }

    async fn ping_while(
        &mut self,
        setup: &Setup,
        handlers: Option<&str>,
        pings: &mut Pings,
    ) -> anyhow::Result<()> {
        let mut busy = Vec::new();
        for how in std::iter::repeat_n(handlers, HANDLERS).flatten() {
            busy.push(load::begin(self.server.address, how).await?);
        }
        for _ in &busy {
            self.output.read_line(&mut String::new())?;
        }
        let options = LoadOptions {
            address: self.server.address,
            path: Path::Ping,
            connections: 1,
            seconds: setup.choose(3.0, 1.0),
            rest_ms: REST_MS,
            watch: self.server.pid(),
        };
        let measured = options.measure(setup.apart.map(|cpus| cpus.generator))?;
        ensure!(measured.p50_us > 0.0, "no ping was timed");
        pings.p50.push(measured.p50_us);
        pings.p99.push(measured.p99_us);
        // Dropped, the connections close, and the handlers see their callers leave.
        Ok(())
    }
}

fn report(seen: &[Pings; 3]) -> Section {
    let mut section = Section::titled("`/ping` while handlers block");
    section.paragraph(
        "One ping every 5 ms, microseconds. The agent has one processor for all its threads and the generator has another \
         where there are two: what is measured is how soon the agent answers, not how the machine shares itself out \
         between the two. A ratio is over the state in which no handler runs.",
    );
    let mut rows = Vec::new();
    for ((state, handlers), pings) in STATES.into_iter().zip(seen) {
        let ratio = |busy: &[f64], free: &[f64]| {
            let ratio = Summary::ratio(busy, free).filter(|_| handlers.is_some());
            ratio.map(|ratio| ratio.to_string()).unwrap_or_default()
        };
        let text = |figures: &[f64]| Summary::of(figures.iter().copied()).map(|figure| figure.to_string());
        rows.push(vec![
            state.to_owned(),
            text(&pings.p50).unwrap_or_default(),
            ratio(&pings.p50, &seen[0].p50),
            text(&pings.p99).unwrap_or_default(),
            ratio(&pings.p99, &seen[0].p99),
        ]);
        if handlers.is_some()
            && let Some(ratio) = Summary::ratio(&pings.p99, &seen[0].p99)
        {
            section.targets.push(Target {
                what: format!("p99 of /ping while {state}, over the unloaded one"),
                wanted: "at most 3",
                got: ratio.to_string(),
                reached: ratio.median <= 3.0,
            });
        }
    }
    section.table(&["state", "p50", "ratio", "p99", "ratio"], rows);
    section
}
