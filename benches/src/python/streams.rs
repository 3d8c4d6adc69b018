//! Server-sent events.

use super::Setup;
use super::contender::Handler;
use crate::children::Server;
use crate::host::agents::ITEMS;
use crate::host::load::{LoadOptions, Workload};
use crate::host::wire::Address;
use crate::report::Section;
use crate::stats::{Summary, thousands};

/// Streams at once.
const CONNECTIONS: usize = 4;

pub(super) async fn compare(setup: &Setup) -> anyhow::Result<Section> {
    let mut section = Section::titled("Streams of Python agents");
    section.paragraph(&format!(
        "Items per second over {CONNECTIONS} connections, in streams of {} small objects each, which the handler \
         yields without waiting.",
        thousands(ITEMS as f64)
    ));
    let mut rows = Vec::new();
    for handler in [Handler::Stream, Handler::AsyncStream] {
        let mut servers = Vec::new();
        for contender in &setup.contenders {
            let server = contender.start(handler, false).await?;
            server.pause()?;
            servers.push(server);
        }
        let rounds = rounds(setup, &servers)?;
        let kind = if handler == Handler::Stream { "generator" } else { "async generator" };
        for (index, contender) in setup.contenders.iter().enumerate() {
            let items = Summary::of(rounds[index].iter().copied());
            let ratio = Summary::ratio(&rounds[0], &rounds[index]).filter(|_| index > 0);
            rows.push(vec![
                kind.to_owned(),
                contender.name.to_owned(),
                items.map(|items| items.text(thousands)).unwrap_or_default(),
                ratio.map(|ratio| ratio.to_string()).unwrap_or_default(),
            ]);
        }
    }
    section.table(&["handler", "server", "items/s", "ratio"], rows);
    Ok(section)
}

/// Items per second of each server, in each round.
fn rounds(setup: &Setup, servers: &[Server]) -> anyhow::Result<[Vec<f64>; 3]> {
    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..setup.choose(7, 3) {
        for (measured, server) in rounds.iter_mut().zip(servers) {
            let options = LoadOptions {
                at: Address::Tcp(server.address),
                target: "/invocations".to_owned(),
                headers: Vec::new(),
                workload: Workload::Stream,
                connections: CONNECTIONS,
                seconds: setup.choose(3.0, 1.5),
                watch: vec![server.pid()],
            };
            server.resume()?;
            measured.push(options.measure()?.per_second * ITEMS as f64);
            server.pause()?;
        }
    }
    Ok(rounds)
}
