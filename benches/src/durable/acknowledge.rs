//! How fast invocations are acknowledged, against plain ones and the disk in the same run.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep};

use super::{address, disk, host, invocation, json, session};
use crate::host::wire::{Address, Wire};
use crate::report::{Section, Target};
use crate::stats::{Summary, significant, thousands};

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 5;
const PAYLOAD: &str = r#"{"prompt":"what was asked"}"#;
const ASYNC: &str = "prefer: respond-async\r\n";
/// Beside one sync, in microseconds.
const MOST_ADDED: f64 = 500.0;
const FEWEST: f64 = 5_000.0;

pub(super) async fn measure(folder: &Path, quick: bool) -> anyhow::Result<Section> {
    let folder = tempfile::Builder::new().prefix("agentcore-durable-").tempdir_in(folder)?;
    let host = host(&folder.path().join("state")).await?;
    let at = address(&host);
    let span = if quick { Duration::from_millis(700) } else { Duration::from_secs(4) };
    let (mut syncs, mut plain, mut durable, mut rates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    load(&at, 1, "", 200, span / 4).await?;
    for _ in 0..if quick { 2 } else { ROUNDS } {
        syncs.push(disk::sync_us(folder.path(), 200)?);
        plain.push(load(&at, 1, "", 200, span).await?.0);
        durable.push(load(&at, 1, ASYNC, 202, span).await?.0);
        rates.push(load(&at, CONNECTIONS, ASYNC, 202, span).await?.1);
        until_all_are_over(&at).await?;
    }
    let median = |figures: &[f64]| Summary::of(figures.iter().copied()).map_or(0.0, |summary| summary.median);
    let added = median(&durable) - median(&plain);
    let mut section = Section::titled("Acknowledged");
    section.paragraph(&format!(
        "A 202 is sent once the request is on disk. Medians of {} rounds; one sync of 4 KiB on this disk took {} µs.",
        rates.len(),
        significant(median(&syncs))
    ));
    section.table(
        &["", "p50, one connection (µs)", "per second, 32 connections"],
        vec![
            vec!["plain".into(), significant(median(&plain)), String::new()],
            vec!["durable".into(), significant(median(&durable)), thousands(median(&rates))],
        ],
    );
    section.targets.push(Target {
        what: "acknowledged per second at 32 connections".into(),
        wanted: "5,000",
        got: thousands(median(&rates)),
        reached: median(&rates) >= FEWEST,
    });
    section.targets.push(Target {
        what: "added p50 at one connection".into(),
        wanted: "one sync + 500 µs",
        got: format!("{} µs, with a sync of {} µs", significant(added), significant(median(&syncs))),
        reached: added <= median(&syncs) + MOST_ADDED,
    });
    Ok(section)
}

/// The median in microseconds, and how many there were per second.
async fn load(
    at: &Address,
    connections: usize,
    extra: &str,
    wanted: u16,
    span: Duration,
) -> anyhow::Result<(f64, f64)> {
    let began = Instant::now();
    let extra = Rc::new(extra.to_owned());
    let one = |number: usize| {
        let (at, extra) = (at.clone(), extra.clone());
        async move {
            let mut wire = Wire::open(&at).await?;
            let request = invocation(&session(number), &extra, PAYLOAD);
            let mut taken = Histogram::<u64>::new(3)?;
            while began.elapsed() < span {
                let sent = Instant::now();
                let answer = wire.exchange(&request).await?;
                ensure!(
                    answer.status == wanted,
                    "{}: {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                );
                taken.record(u64::try_from(sent.elapsed().as_nanos())?)?;
            }
            Ok::<_, anyhow::Error>(taken)
        }
    };
    let taken = try_join_all((0..connections).map(one)).await?;
    let mut all = Histogram::<u64>::new(3)?;
    taken.iter().try_for_each(|one| all.add(one))?;
    let seconds = began.elapsed().as_secs_f64();
    Ok((all.value_at_quantile(0.5) as f64 / 1e3, all.len() as f64 / seconds))
}

/// What was acknowledged is also carried out, and does not disturb the next round.
async fn until_all_are_over(at: &Address) -> anyhow::Result<()> {
    let mut wire = Wire::open(at).await?;
    for state in ["accepted", "running"] {
        let path = format!("/_agentcore/v1/invocations?limit=1&state={state}");
        while json(&mut wire, &path).await?["invocations"].as_array().is_none_or(|open| !open.is_empty()) {
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}
