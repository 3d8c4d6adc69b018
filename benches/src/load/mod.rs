//! The load generator: connections that are kept alive, each with one request under way.
//!
//! One thread, prepared requests, and no more parsing of answers than it takes to find their end,
//! so that on a small machine it leaves the processors to the server.

mod connection;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use self::connection::Connection;
use crate::children::{Program, cpu_time};
use crate::server::{Path, payload};

/// Connections under full load.
pub(crate) const MANY: usize = 32;
/// How long one contender is measured before it is the next one's turn. Many short rounds: what else
/// runs on the machine comes and goes within seconds.
pub(crate) const SECONDS: f64 = 0.3;

/// What to send where, for how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadOptions {
    #[arg(long)]
    pub(crate) address: SocketAddr,
    #[arg(long)]
    pub(crate) path: Path,
    #[arg(long)]
    pub(crate) connections: usize,
    #[arg(long)]
    pub(crate) seconds: f64,
    /// How long each connection rests between two requests, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub(crate) rest_ms: u64,
    /// The server's process, whose processor time is read.
    #[arg(long)]
    pub(crate) watch: u32,
}

/// What a load generator saw.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) requests_per_second: f64,
    /// The server's processor time per request, in microseconds.
    pub(crate) server_cpu_us: f64,
    /// The generator's own.
    pub(crate) generator_cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl LoadOptions {
    /// Runs a load generator in a process of its own.
    pub(crate) fn measure(&self, cpu: Option<usize>) -> anyhow::Result<Measured> {
        let path = self.path.as_str().trim_start_matches('/');
        let arguments = [
            "load".to_owned(),
            format!("--address={}", self.address),
            format!("--path={path}"),
            format!("--connections={}", self.connections),
            format!("--seconds={}", self.seconds),
            format!("--rest-ms={}", self.rest_ms),
            format!("--watch={}", self.watch),
        ];
        Program::this(arguments)?.on_cpu(cpu)?.report()
    }
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
    let request = request(&options);
    let latencies = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
    let tally = Rc::new(Tally { ended: Cell::new(false), latencies: RefCell::new(latencies) });
    let (rest, mut connections) = (Duration::from_millis(options.rest_ms), Vec::new());
    for _ in 0..options.connections {
        let connection = Connection::open(options.address).await?;
        connections.push(tokio::task::spawn_local(send(
            connection,
            Rc::clone(&request),
            rest,
            Rc::clone(&tally),
        )));
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
async fn send(
    mut connection: Connection,
    request: Rc<[u8]>,
    rest: Duration,
    tally: Rc<Tally>,
) -> anyhow::Result<()> {
    while !tally.ended.get() {
        let sent = Instant::now();
        let status = connection.exchange(&request).await?;
        let took = sent.elapsed().as_nanos() as u64;
        ensure!(status == 200, "the server answered {status}");
        tally.latencies.borrow_mut().saturating_record(took);
        if !rest.is_zero() {
            sleep(rest).await;
        }
    }
    Ok(())
}

/// Lets the connections run for the time that counts.
async fn watch(options: &LoadOptions, tally: &Tally) -> anyhow::Result<Measured> {
    tally.latencies.borrow_mut().reset();
    let (began, server, own) = (Instant::now(), cpu_time(options.watch)?, cpu_time(std::process::id())?);
    sleep(Duration::from_secs_f64(options.seconds)).await;
    let (server, own) = (cpu_time(options.watch)? - server, cpu_time(std::process::id())? - own);
    let (latencies, elapsed) = (tally.latencies.borrow(), began.elapsed());
    tally.ended.set(true);
    let requests = latencies.len() as f64;
    ensure!(requests > 0.0, "the server answered no request in {elapsed:?}");
    let quantile = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Measured {
        requests_per_second: requests / elapsed.as_secs_f64(),
        server_cpu_us: server.as_secs_f64() * 1e6 / requests,
        generator_cpu_us: own.as_secs_f64() * 1e6 / requests,
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
    })
}

fn request(options: &LoadOptions) -> Rc<[u8]> {
    let host = options.address;
    let (path, mut bytes) = (options.path.as_str(), Vec::new());
    match options.path {
        Path::Ping => bytes.extend(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").bytes()),
        Path::Invocations => {
            let body = payload();
            let length = body.len();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\nx-amzn-bedrock-agentcore-runtime-session-id: \
                 a-session-id-has-33-characters-or-more\r\n\r\n"
            );
            bytes.extend(head.bytes());
            bytes.extend(body);
        }
    }
    bytes.into()
}

/// One request to a server, for its answer's body.
pub(crate) async fn fetch(address: SocketAddr, path: Path) -> anyhow::Result<Vec<u8>> {
    let options = LoadOptions { address, path, connections: 1, seconds: 0.0, rest_ms: 0, watch: 0 };
    let mut connection = Connection::open(address).await?;
    let status = connection.exchange(&request(&options)).await?;
    ensure!(status == 200, "{address} answered {status} to {}", path.as_str());
    connection.body().context("the answer has no body")
}

/// So many requests over so many connections, as soon as they are answered.
pub(crate) async fn send_many(
    address: SocketAddr,
    path: Path,
    connections: usize,
    requests: u64,
) -> anyhow::Result<()> {
    let options = LoadOptions { address, path, connections, seconds: 0.0, rest_ms: 0, watch: 0 };
    let (request, left) = (request(&options), Cell::new(requests));
    let send = async || {
        let mut connection = Connection::open(address).await?;
        while let Some(less) = left.get().checked_sub(1) {
            left.set(less);
            let status = connection.exchange(&request).await?;
            ensure!(status == 200, "the server answered {status}");
        }
        Ok(())
    };
    futures_util::future::try_join_all((0..connections).map(|_| send())).await.map(drop)
}

/// A connection with a request under way that nobody waits for. Dropped, it is closed.
pub(crate) async fn begin(address: SocketAddr, body: &str) -> anyhow::Result<Connection> {
    let mut connection = Connection::open(address).await?;
    let length = body.len();
    let request =
        format!("POST /invocations HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}");
    connection.write(request.as_bytes()).await?;
    Ok(connection)
}
