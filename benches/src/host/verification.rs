//! What it takes to find out who calls: a signature with a key of the host, a token of an issuer.

use std::hint::black_box;

use agentcore_auth::Rights;
use agentcore_auth::jwt::{Fetcher, JwtAuthorizer};
use agentcore_auth::keys::KeyStore;
use agentcore_auth::sigv4::{Head, Payload, Verifier};
use agentcore_protocol::{Clock, SystemClock, Timestamp};
use anyhow::{Context, anyhow};
use http::Request;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Setup;
use super::signed::Key;
use crate::report::{Section, Target};
use crate::server::payload;
use crate::stats::{Summary, significant};
use issuer::{Algorithm, Issuer};

mod issuer;

const TARGET: &str = "/runtimes/writer/invocations?qualifier=DEFAULT";
/// Verifications of one round.
const TIMES: u32 = 500;
/// Tokens that are verified for the first time in one round: some algorithms take a millisecond.
const TOKENS: u32 = 50;
const MOST_OF_SIGNATURE: f64 = 20.0;
const MOST_OF_TOKEN: f64 = 100.0;

/// What was timed, in microseconds of each round.
struct Timed {
    what: String,
    micros: Vec<f64>,
}

impl Timed {
    fn median(&self) -> Option<Summary> {
        Summary::of(self.micros.clone())
    }
}

pub(super) async fn measure(setup: &Setup) -> anyhow::Result<Section> {
    let rounds = setup.choose(21, 5);
    let signature = signature(rounds)?;
    let mut warm = Vec::new();
    let mut cold = Vec::new();
    for algorithm in Algorithm::ALL {
        let (again, first) = token(algorithm, rounds).await?;
        warm.push(again);
        cold.push(first);
    }
    let mut section = Section::titled("Who calls");
    section.paragraph(
        "Inside the host, on one core: a request of 1 KiB is verified whole (its body is hashed, its key looked up), and \
         a token judged whole, with the issuer's keys at hand. A token that was seen before has its claims and its time \
         judged, and not its signature again. Figures are medians of the rounds with (lowest..highest).",
    );
    target(&mut section, "a verification of SigV4, µs", "under 20", MOST_OF_SIGNATURE, &[&signature]);
    let warm: Vec<_> = warm.iter().collect();
    target(
        &mut section,
        "a JWT with warm cache, µs, the slowest algorithm",
        "under 100",
        MOST_OF_TOKEN,
        &warm,
    );
    let rows = [&signature].into_iter().chain(warm).chain(&cold).map(|timed| {
        vec![timed.what.clone(), timed.median().map(|median| median.text(significant)).unwrap_or_default()]
    });
    section.table(&["", "µs"], rows.collect());
    Ok(section)
}

/// The worst of what was timed must be less than `most`.
fn target(section: &mut Section, what: &str, wanted: &'static str, most: f64, timed: &[&Timed]) {
    let medians = timed.iter().filter_map(|timed| timed.median());
    let Some(worst) = medians.max_by(|one, other| one.median.total_cmp(&other.median)) else { return };
    let (what, got) = (what.to_owned(), worst.text(significant));
    section.targets.push(Target { what, wanted, got, reached: worst.median < most });
}

fn signature(rounds: usize) -> anyhow::Result<Timed> {
    let folder = tempfile::tempdir()?;
    let (store, now) = (KeyStore::open(folder.path(), None)?, SystemClock.now());
    let made = store.create(None, Rights::operator(), now)?;
    let key = Key::new(&made.record().id, made.secret().expose());
    let mut request = Request::post(TARGET).header("host", "localhost");
    for header in key.sign(TARGET, &payload())? {
        let (name, value) = header.split_once(": ").context("a header has a name")?;
        request = request.header(name, value);
    }
    let request = Key::with_signed_headers(request).body(payload())?;
    let head = Head { method: request.method(), uri: request.uri(), headers: request.headers() };
    let verifier = Verifier::new("us-east-1");
    let verify = || {
        let signed = verifier.read(black_box(&head), now).map_err(|error| anyhow!("{error}"))?;
        let key = store.find(signed.access_key_id())?.context("the key is gone")?;
        let hash = Payload::Sha256(Sha256::digest(request.body()).into());
        signed.verify(key.secret(), hash).map_err(|error| anyhow!("{error}"))
    };
    let mut micros = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begun = Instant::now();
        (0..TIMES).try_for_each(|_| verify())?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES));
    }
    Ok(Timed { what: "SigV4".to_owned(), micros })
}

/// A token that comes again and again, and one that comes for the first time.
async fn token(algorithm: Algorithm, rounds: usize) -> anyhow::Result<(Timed, Timed)> {
    let issuer = Issuer::start(algorithm).await?;
    let rules = json!({"discoveryUrl": issuer.discovery_url(), "allowedAudience": ["writer"]});
    let authorizer = JwtAuthorizer::new(serde_json::from_value(rules)?, Fetcher::new())?;
    let now = SystemClock.now();
    let known = issuer.token(0, now)?;
    verified(&authorizer, &known, now).await?;
    let (mut again, mut first) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for round in 0..rounds {
        let begun = Instant::now();
        for _ in 0..TIMES {
            verified(&authorizer, black_box(&known), now).await?;
        }
        again.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES));
        let numbers = (0..TOKENS as usize).map(|number| 1 + round * TOKENS as usize + number);
        let fresh = numbers.map(|number| issuer.token(number, now)).collect::<Result<Vec<_>, _>>()?;
        let begun = Instant::now();
        for token in &fresh {
            verified(&authorizer, token, now).await?;
        }
        first.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(TOKENS));
    }
    let name = algorithm.name();
    let timed = |when: &str, micros| Timed { what: format!("JWT, {name}, {when}"), micros };
    Ok((timed("seen before", again), timed("for the first time", first)))
}

async fn verified(authorizer: &JwtAuthorizer, token: &str, now: Timestamp) -> anyhow::Result<()> {
    authorizer.verify(token, "writer", now).await.map(drop).map_err(|error| anyhow!("{error}"))
}
