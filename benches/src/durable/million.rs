//! A million finished invocations in the store.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use rusqlite::{Connection, params};
use tokio::time::{Instant, sleep};

use super::{address, get, host, json, session};
use crate::host::wire::Wire;
use crate::report::{Section, Target};
use crate::stats::{significant, thousands};

const RECORDS: usize = 1_000_000;
const PER_SESSION: usize = 100;
const LOOKS: usize = 2_000;
/// Milliseconds.
const MOST_FOR_A_READ: f64 = 5.0;
const MOST_FOR_A_START: f64 = 1_000.0;

pub(super) async fn measure(folder: &Path, quick: bool) -> anyhow::Result<Section> {
    let folder = tempfile::Builder::new().prefix("agentcore-million-").tempdir_in(folder)?;
    let state = folder.path().join("state");
    let records = if quick { RECORDS / 10 } else { RECORDS };
    // A host makes the tables.
    drop(host(&state).await?);
    sleep(Duration::from_millis(200)).await;
    fill(&state.join("agentcore.db"), records)?;
    let began = Instant::now();
    let host = host(&state).await?;
    let mut wire = Wire::open(&address(&host)).await?;
    json(&mut wire, "/_agentcore/v1/host").await?;
    let start_ms = began.elapsed().as_secs_f64() * 1e3;
    let (mut lists, mut reads) = (Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?);
    for look in 0..LOOKS {
        // Far apart from one another, so that most are not in a cache.
        let number = look * 7_919 % records;
        let list = format!("/_agentcore/v1/invocations?limit=100&session={}", session(number / PER_SESSION));
        timed(&mut wire, &list, &mut lists).await?;
        timed(&mut wire, &format!("/_agentcore/v1/invocations/{}", id(number)), &mut reads).await?;
    }
    let p99 = |taken: &Histogram<u64>| taken.value_at_quantile(0.99) as f64 / 1e6;
    let mut section = Section::titled("A million on record");
    section.paragraph(&format!("{} finished invocations in sessions of 100.", thousands(records as f64)));
    section.table(
        &["", "p50 (ms)", "p99 (ms)"],
        [("list of a session", &lists), ("read of one", &reads)]
            .map(|(what, taken)| {
                let p50 = taken.value_at_quantile(0.5) as f64 / 1e6;
                vec![what.to_owned(), significant(p50), significant(p99(taken))]
            })
            .into(),
    );
    for (what, wanted, got, most) in [
        ("list of a session, p99", "under 5 ms", p99(&lists), MOST_FOR_A_READ),
        ("read of one, p99", "under 5 ms", p99(&reads), MOST_FOR_A_READ),
        ("start-up", "under 1,000 ms", start_ms, MOST_FOR_A_START),
    ] {
        let got_text = format!("{} ms", significant(got));
        section.targets.push(Target { what: what.into(), wanted, got: got_text, reached: got < most });
    }
    Ok(section)
}

async fn timed(wire: &mut Wire, path: &str, taken: &mut Histogram<u64>) -> anyhow::Result<()> {
    let began = Instant::now();
    let answer = wire.exchange(&get(path)).await?;
    ensure!(answer.status == 200, "{path}: {}", answer.status);
    taken.record(u64::try_from(began.elapsed().as_nanos())?)?;
    Ok(())
}

/// The id of a record: a UUID of version 7, a millisecond after the one before.
fn id(number: usize) -> String {
    let hex = hex(number);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn hex(number: usize) -> String {
    // Of this day, so that none is past its time.
    format!("{:012x}7000800{number:013x}", beginning() + number as u64)
}

fn beginning() -> u64 {
    let now = jiff::Timestamp::now().as_millisecond().unsigned_abs();
    now - now % 86_400_000
}

fn fill(file: &Path, records: usize) -> anyhow::Result<()> {
    let mut database = Connection::open(file)?;
    let transaction = database.transaction()?;
    {
        let mut insert = transaction.prepare(
            "INSERT INTO invocations
                 (id, principal, agent, session_id, incarnation, state, accepted_at, started_at, ended_at,
                  answer_status, answer_headers, answer_bytes, answer_complete, answer_body)
             VALUES (?1, 'local', 'trivial', ?2, ?3, 2, ?4, ?4, ?4, 200, ?5, 28, 1, ?6)",
        )?;
        for number in 0..records {
            let id = u128::from_str_radix(&hex(number), 16).context("no id")?.to_be_bytes();
            insert.execute(params![
                id,
                session(number / PER_SESSION),
                [1_u8; 16],
                (beginning() + number as u64) as i64,
                b"content-type:application/json\n",
                br#"{"prompt":"what was asked"}"#,
            ])?;
        }
    }
    transaction.commit()?;
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}
