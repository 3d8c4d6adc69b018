//! `/ping` and `/invocations`, with and without a Python thread that computes.

use anyhow::ensure;

use super::Setup;
use super::contender::Handler;
use crate::children::Server;
use crate::load::{self, LoadOptions, MANY, Measured};
use crate::report::{Section, Target};
use crate::server::Path;
use crate::stats::{Summary, thousands};

/// What is asked, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    path: Path,
    handler: Handler,
    connections: usize,
}

/// A figure for each round, of each contender.
struct Series {
    case: Case,
    rounds: [Vec<Measured>; 3],
}

impl Series {
    fn of(&self, contender: usize, figure: fn(&Measured) -> f64) -> Vec<f64> {
        self.rounds[contender].iter().map(figure).collect()
    }

    /// Ours over another's.
    fn ratio(&self, contender: usize, figure: fn(&Measured) -> f64) -> Option<Summary> {
        Summary::ratio(&self.of(0, figure), &self.of(contender, figure))
    }
}

/// What is asked of an agent with that handler: pings once, for the handler makes no difference.
fn cases(handler: Handler) -> Vec<Case> {
    let paths: &[Path] =
        if handler == Handler::Sync { &[Path::Ping, Path::Invocations] } else { &[Path::Invocations] };
    let case = |path| [MANY, 1].map(|connections| Case { path, handler, connections });
    paths.iter().copied().flat_map(case).collect()
}

pub(super) async fn compare(setup: &Setup, busy: bool) -> anyhow::Result<Section> {
    let mut all = Vec::new();
    for handler in [Handler::Sync, Handler::Async] {
        all.extend(measure(setup, handler, busy).await?);
    }
    let mut section = match busy {
        false => Section::titled("Requests to Python agents"),
        true => Section::titled("The same, while a Python thread computes"),
    };
    section.paragraph(match busy {
        false => {
            "The same agent on both packages, no middleware. `/invocations` takes 1 KiB of JSON and answers with its \
             prompt. One server runs at a time and the others are stopped, in turn, round after round; server and \
             load generator share all processors. CPU is the server's processor time per request. Figures are \
             medians of the rounds with (lowest..highest); a ratio is this package's figure over the other's."
        }
        true => "One thread of the agent computes in Python and never waits.",
    });
    section.targets.extend(all.iter().filter_map(|series| target(series, busy)));
    table(&mut section, setup, &all, busy);
    Ok(section)
}

async fn measure(setup: &Setup, handler: Handler, busy: bool) -> anyhow::Result<Vec<Series>> {
    let mut servers = Vec::new();
    for contender in &setup.contenders {
        let server = contender.start(handler, busy).await?;
        servers.push(server);
    }
    check(&servers).await?;
    for server in &servers {
        server.pause()?;
    }
    let series = cases(handler).into_iter().map(|case| rounds(setup, case, &servers, busy));
    series.collect()
}

/// All servers in turn, round after round, so that whatever else the machine does meets them all.
fn rounds(setup: &Setup, case: Case, servers: &[Server], busy: bool) -> anyhow::Result<Series> {
    let Case { path, connections, .. } = case;
    let mut rounds = [const { Vec::new() }; 3];
    // Requests that wait for a computing thread are few: they take longer to count.
    let seconds = if busy { setup.choose(2.0, 0.8) } else { setup.choose(1.0, 0.4) };
    for round in 0..setup.choose(7, 3) {
        let mut order: Vec<_> = rounds.iter_mut().zip(servers).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (measured, server) in order {
            let (address, watch) = (server.address, server.pid());
            server.resume()?;
            let options = LoadOptions { address, path, connections, seconds, rest_ms: 0, watch };
            measured.push(options.measure(None)?);
            server.pause()?;
        }
    }
    Ok(Series { case, rounds })
}

/// Servers that answer differently are not compared.
async fn check(servers: &[Server]) -> anyhow::Result<()> {
    let mut expected = None;
    for server in servers {
        let answer = load::fetch(server.address, Path::Invocations).await?;
        let expected = expected.get_or_insert_with(|| answer.clone());
        ensure!(*expected == answer, "the packages answer differently: {expected:?} and {answer:?}");
    }
    Ok(())
}

fn target(series: &Series, busy: bool) -> Option<Target> {
    let (wanted, least) = match (series.case, busy) {
        (Case { connections: 1, .. }, _) => return None,
        (Case { path: Path::Ping, .. }, false) => ("at least 25", 25.0),
        (Case { path: Path::Ping, .. }, true) => ("at least 200", 200.0),
        (Case { handler: Handler::Sync, .. }, false) => ("at least 12", 12.0),
        (_, false) => ("at least 4", 4.0),
        (_, true) => ("at least 30", 30.0),
    };
    let ratio = series.ratio(1, |round| round.requests_per_second)?;
    let while_busy = if busy { " while a thread computes" } else { "" };
    let (path, handler) = (series.case.path.as_str(), handler_of(series.case));
    let what = format!("{path} {handler} requests/s over official's with uvicorn{while_busy}");
    Some(Target {
        what: what.replace("  ", " "),
        wanted,
        got: ratio.to_string(),
        reached: ratio.median >= least,
    })
}

fn handler_of(case: Case) -> &'static str {
    if case.path == Path::Ping { "" } else { case.handler.name() }
}

fn table(section: &mut Section, setup: &Setup, all: &[Series], busy: bool) {
    let mut rows = Vec::new();
    for series in all {
        for (index, contender) in setup.contenders.iter().enumerate() {
            let text = |figure| Summary::of(series.of(index, figure)).map(|summary| summary.to_string());
            let per_second = Summary::of(series.of(index, |round| round.requests_per_second));
            let ratio = series.ratio(index, |round| round.requests_per_second).filter(|_| index > 0);
            let mut row = vec![
                series.case.path.as_str().to_owned(),
                handler_of(series.case).to_owned(),
                series.case.connections.to_string(),
                contender.name.to_owned(),
                per_second.map(|summary| summary.text(thousands)).unwrap_or_default(),
                ratio.map(|ratio| ratio.to_string()).unwrap_or_default(),
                text(|round| round.p50_us).unwrap_or_default(),
                text(|round| round.p99_us).unwrap_or_default(),
            ];
            if !busy {
                row.push(text(|round| round.server_cpu_us).unwrap_or_default());
            }
            rows.push(row);
        }
    }
    let head =
        ["path", "handler", "connections", "server", "requests/s", "ratio", "p50, µs", "p99, µs", "CPU, µs"];
    section.table(&head[..head.len() - usize::from(busy)], rows);
}
