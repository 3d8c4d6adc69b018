//! A stream that a hundred readers follow.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::time::sleep;

use super::{address, get, host, invocation, json, session};
use crate::host::wire::Wire;
use crate::report::{Section, Target};
use crate::stats::significant;

const READERS: usize = 100;
/// Milliseconds by which 99 of 100 items may be late: a few turns of the timer.
const MOST_LATE: f64 = 10.0;

pub(super) async fn measure(folder: &Path, quick: bool) -> anyhow::Result<Section> {
    let folder = tempfile::Builder::new().prefix("agentcore-stream-").tempdir_in(folder)?;
    let host = host(&folder.path().join("state")).await?;
    let at = address(&host);
    let items: u64 = if quick { 2_000 } else { 10_000 };
    let mut late = Vec::new();
    for readers in [0, READERS] {
        let mut wire = Wire::open(&at).await?;
        let payload = format!(r#"{{"items":{items}}}"#);
        let answer =
            wire.exchange(&invocation(&session(readers), "prefer: respond-async\r\n", &payload)).await?;
        ensure!(answer.status == 202, "{}", answer.status);
        let record: Value = serde_json::from_slice(&answer.body)?;
        let path = format!("/_agentcore/v1/invocations/{}", record["id"].as_str().context("no id")?);
        // They come one after the other, so that all but the first replay before they follow.
        let read = |number: usize| {
            let (at, request) = (at.clone(), get(&format!("{path}/events")));
            async move {
                sleep(Duration::from_millis(10 * number as u64)).await;
                let answer = Wire::open(&at).await?.exchange(&request).await?;
                // And the event that tells of the end.
                ensure!(answer.items == items + 1, "{} of {items} items came", answer.items);
                Ok::<_, anyhow::Error>(())
            }
        };
        try_join_all((0..readers).map(read)).await?;
        ensure!(
            json(&mut wire, &format!("{path}?wait=60")).await?["state"] == "completed",
            "it was not completed"
        );
        late.push(lateness(&mut wire, &path, items).await?);
    }
    let mut section = Section::titled("A stream with a hundred readers");
    section.paragraph(&format!(
        "{items} items, one per millisecond; each reader replays what there is and follows. How late the agent could \
         send them:"
    ));
    section.table(
        &["readers", "p50 (ms)", "p99 (ms)"],
        late.iter()
            .zip([0, READERS])
            .map(|((p50, p99), readers)| vec![readers.to_string(), significant(*p50), significant(*p99)])
            .collect(),
    );
    let p99 = late[1].1;
    section.targets.push(Target {
        what: "1,000 items per second with 100 readers, lateness p99".into(),
        wanted: "under 10 ms",
        got: format!("{} ms", significant(p99)),
        reached: p99 < MOST_LATE,
    });
    Ok(section)
}

/// What the last item says: the median, and what 99 of 100 items stayed below.
async fn lateness(wire: &mut Wire, path: &str, items: u64) -> anyhow::Result<(f64, f64)> {
    let last =
        format!("GET {path}/events HTTP/1.1\r\nhost: localhost\r\nlast-event-id: {}\r\n\r\n", items - 1);
    let answer = wire.exchange(last.as_bytes()).await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let item = text.lines().find_map(|line| line.strip_prefix("data: ")).context("no last item")?;
    let late: Value = serde_json::from_str(item)?;
    let figure = |name: &str| late[name].as_f64().with_context(|| format!("no {name} in {item}"));
    Ok((figure("late_p50_ms")?, figure("late_p99_ms")?))
}
