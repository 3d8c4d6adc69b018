//! The load generator for what goes through a host: requests of several kinds, over TCP or a Unix
//! socket, each connection with one under way.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::agents::{ITEMS, LARGE, bulk_payload};
use super::wire::{Address, Answer, Wire};
use crate::children::{Program, cpu_time};
use crate::server::payload;

/// The session that every request names.
pub(super) const SESSION: &str = "the-session-of-a-benchmark-0123456789";

/// What is sent, and what is to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// 1 KiB of JSON, and a short answer.
    Small,
    /// A stream of items.
    Stream,
    /// A large payload.
    Up,
    /// A large answer.
    Down,
}

impl Workload {
    fn payload(self) -> Vec<u8> {
        match self {
            Self::Small => payload(),
            Self::Stream => b"{}".to_vec(),
            Self::Up => bulk_payload(false),
            Self::Down => bulk_payload(true),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Stream => "stream",
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    fn check(self, answer: &Answer) -> anyhow::Result<()> {
        ensure!(answer.status == 200, "{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        match self {
            Self::Stream => ensure!(answer.items == ITEMS, "{} items came, not {ITEMS}", answer.items),
            Self::Down => ensure!(answer.body_bytes > LARGE as u64, "{} bytes came", answer.body_bytes),
            Self::Small | Self::Up => {}
        }
        Ok(())
    }
}

/// What to send where, for how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadOptions {
    #[arg(long)]
    pub(crate) at: Address,
    /// The path, with its query.
    #[arg(long)]
    pub(crate) target: String,
    /// Lines of the head beside those that every request has.
    #[arg(long = "header")]
    pub(crate) headers: Vec<String>,
    #[arg(long)]
    pub(crate) workload: Workload,
    #[arg(long)]
    pub(crate) connections: usize,
    #[arg(long)]
    pub(crate) seconds: f64,
    /// Processes whose processor time is read.
    #[arg(long, value_delimiter = ',')]
    pub(crate) watch: Vec<u32>,
}

/// What a load generator saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Processor time per exchange of each process that was watched, in microseconds.
    pub(crate) cpu_us: Vec<f64>,
}

impl LoadOptions {
    /// Runs a load generator in a process of its own.
    pub(crate) fn measure(&self) -> anyhow::Result<Measured> {
        let watch: Vec<String> = self.watch.iter().map(u32::to_string).collect();
        let own = [
            "load-through".to_owned(),
            format!("--at={}", self.at),
            format!("--target={}", self.target),
            format!("--workload={}", self.workload.name()),
            format!("--connections={}", self.connections),
            format!("--seconds={}", self.seconds),
            format!("--watch={}", watch.join(",")),
        ];
        let headers = self.headers.iter().map(|line| format!("--header={line}"));
        Program::this(own.into_iter().chain(headers))?.report()
    }
}

/// A request to an entrypoint, ready to be sent.
pub(super) fn request(target: &str, session: &str, headers: &[String], payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nx-amzn-bedrock-agentcore-runtime-session-id: {session}\r\n{headers}\r\n"
    );
    [head.as_bytes(), payload].concat()
}

/// What the connections share.
struct Tally {
    ended: Cell<bool>,
    latencies: RefCell<Histogram<u64>>,
}

/// The body of the hidden command.
pub(crate) fn run(options: LoadOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = tokio::task::LocalSet::new().block_on(&runtime, generate(options))?;
    serde_json::to_writer(std::io::stdout(), &measured)?;
    Ok(std::io::stdout().flush()?)
}

async fn generate(options: LoadOptions) -> anyhow::Result<Measured> {
    let request: Rc<[u8]> = {
        let payload = options.workload.payload();
        request(&options.target, SESSION, &options.headers, &payload).into()
    };
    let latencies = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
    let tally = Rc::new(Tally { ended: Cell::new(false), latencies: RefCell::new(latencies) });
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        let wire = Wire::open(&options.at).await?;
        let sending = send(wire, Rc::clone(&request), options.workload, Rc::clone(&tally));
        connections.push(tokio::task::spawn_local(sending));
    }
    // The first requests meet cold caches and growing buffers.
    sleep(Duration::from_secs_f64(options.seconds / 5.0)).await;
    let measured = watch(&options, &tally).await;
    for connection in connections {
        connection.await??;
    }
    measured
}

/// One request after the other, each timed.
async fn send(mut wire: Wire, request: Rc<[u8]>, workload: Workload, tally: Rc<Tally>) -> anyhow::Result<()> {
    while !tally.ended.get() {
        let sent = Instant::now();
        let answer = wire.exchange(&request).await?;
        let took = sent.elapsed().as_nanos() as u64;
        workload.check(&answer)?;
        tally.latencies.borrow_mut().saturating_record(took);
    }
    Ok(())
}

/// Lets the connections run for the time that counts.
async fn watch(options: &LoadOptions, tally: &Tally) -> anyhow::Result<Measured> {
    let cpu = || options.watch.iter().map(|pid| cpu_time(*pid)).collect::<anyhow::Result<Vec<_>>>();
    tally.latencies.borrow_mut().reset();
    let (began, before) = (Instant::now(), cpu()?);
    sleep(Duration::from_secs_f64(options.seconds)).await;
    let (after, elapsed) = (cpu()?, began.elapsed());
    tally.ended.set(true);
    let latencies = tally.latencies.borrow();
    let exchanges = latencies.len() as f64;
    ensure!(exchanges > 0.0, "the server answered no request in {elapsed:?}");
    let used = after.iter().zip(before).map(|(after, before)| after.saturating_sub(before));
    let quantile = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Measured {
        per_second: exchanges / elapsed.as_secs_f64(),
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        cpu_us: used.map(|used| used.as_secs_f64() * 1e6 / exchanges).collect(),
    })
}
