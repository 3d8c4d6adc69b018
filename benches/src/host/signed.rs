//! What it costs that callers sign: the same host asked by some who do and by some who do not.

use std::time::{Duration, UNIX_EPOCH};

use agentcore_protocol::headers::SESSION_ID;
use agentcore_protocol::{Clock, SystemClock};
use anyhow::anyhow;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::request::Builder;
use serde::Deserialize;

use super::Setup;
use super::load::{LoadOptions, Measured, SESSION, Workload, request};
use super::machinery::{Agent, HostProcess, agent, target};
use crate::children::Program;
use crate::load::MANY;
use crate::report::{Section, Target};
use crate::server::payload;
use crate::stats::{Summary, significant, thousands};

const AGENT: &str = "small";
/// What a host must get through of signed requests, over what it does of others.
const LEAST_THROUGHPUT: f64 = 0.7;

/// What is signed of a request beside its host.
const SIGNED: [(&str, &str); 2] = [("content-type", "application/json"), (SESSION_ID, SESSION)];

/// An access key of the host.
#[derive(Deserialize)]
pub(super) struct Key {
    access_key_id: String,
    secret_access_key: String,
}

impl Key {
    pub(super) fn new(id: &str, secret: &str) -> Self {
        Self { access_key_id: id.to_owned(), secret_access_key: secret.to_owned() }
    }

    /// Adds the headers that [`Key::sign`] signs beside its own.
    pub(super) fn with_signed_headers(request: Builder) -> Builder {
        SIGNED.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    fn create(setup: &Setup, host: &HostProcess) -> anyhow::Result<Self> {
        let arguments = ["keys", "create", "--json", "--invoke", "*", "--state"];
        let state = host.state();
        let arguments = arguments.iter().map(AsRef::as_ref).chain([state.as_os_str()]);
        Program::other(&setup.agentcore, arguments).report()
    }

    /// The headers that a request of the load generator needs beside its own. They are good for
    /// five minutes, and any number of times.
    pub(super) fn sign(&self, target: &str, payload: &[u8]) -> anyhow::Result<Vec<String>> {
        let credentials = Credentials::new(&self.access_key_id, &self.secret_access_key, None, None, "bench");
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("bedrock-agentcore")
            .time(UNIX_EPOCH + Duration::from_millis(SystemClock.now().unix_millis()))
            .settings(SigningSettings::default())
            .build()?
            .into();
        let uri = format!("http://localhost{target}");
        let signable = SignableRequest::new("POST", &uri, SIGNED.into_iter(), SignableBody::Bytes(payload))
            .map_err(|error| anyhow!("{error}"))?;
        let signed = sign(signable, &parameters).map_err(|error| anyhow!("{error}"))?.into_parts().0;
        Ok(signed.headers().map(|(name, value)| format!("{name}: {value}")).collect())
    }
}

/// Callers who sign with a key, or with none.
struct Way {
    name: &'static str,
    key: Option<Key>,
    agent: Agent,
    rounds: Vec<Measured>,
}

impl Way {
    /// Begins the session of such callers: it is theirs alone.
    async fn begin(name: &'static str, host: &HostProcess, key: Option<Key>) -> anyhow::Result<Self> {
        let (target, payload) = (target(AGENT), payload());
        let signature = key.as_ref().map(|key| key.sign(&target, &payload)).transpose()?;
        let first = request(&target, SESSION, &signature.unwrap_or_default(), &payload);
        Ok(Self { name, key, agent: host.begin_with(AGENT, &first).await?, rounds: Vec::new() })
    }

    fn measure(&mut self, host: &HostProcess, connections: usize, seconds: f64) -> anyhow::Result<()> {
        let target = target(AGENT);
        let signature = self.key.as_ref().map(|key| key.sign(&target, &payload())).transpose()?;
        let options = LoadOptions {
            at: host.address(),
            target,
            headers: signature.unwrap_or_default(),
            workload: Workload::Small,
            connections,
            seconds,
            watch: vec![self.agent.pid, host.pid()],
        };
        self.rounds.push(options.measure()?);
        Ok(())
    }

    fn figures(&self, figure: impl Fn(&Measured) -> f64) -> Vec<f64> {
        self.rounds.iter().map(figure).collect()
    }

    fn text(&self, figure: impl Fn(&Measured) -> f64, write: fn(f64) -> String) -> String {
        Summary::of(self.figures(figure)).map(|summary| summary.text(write)).unwrap_or_default()
    }
}

pub(super) async fn compare(setup: &Setup) -> anyhow::Result<Section> {
    let host = HostProcess::start(setup, vec![agent(AGENT, &["serve-agent", "0"])?]).await?;
    let key = Key::create(setup, &host)?;
    let mut ways = [
        Way::begin("unsigned", &host, None).await?,
        Way::begin("signed with SigV4", &host, Some(key)).await?,
    ];
    let seconds = setup.choose(0.6, 0.3);
    for round in 0..setup.choose(11, 3) {
        for turn in 0..ways.len() {
            ways[(round + turn) % 2].measure(&host, MANY, seconds)?;
        }
    }
    Ok(report(&ways))
}

fn report(ways: &[Way; 2]) -> Section {
    let mut section = Section::titled("Callers who sign");
    section.paragraph(&format!(
        "1 KiB of JSON in and a short answer out over {MANY} connections, through a host that has access keys: from \
         callers who do not sign, and from callers who do. A signed body is read and hashed before the agent sees it. \
         Figures are medians of the rounds with (lowest..highest), ways interleaved."
    ));
    let per_second = |round: &Measured| round.per_second;
    let rows = ways.iter().map(|way| {
        vec![
            way.name.to_owned(),
            way.text(per_second, thousands),
            way.text(|round| round.p99_us, significant),
            way.text(|round| round.cpu_us.get(1).copied().unwrap_or(0.0), significant),
        ]
    });
    section.table(&["", "requests/s", "p99, µs", "the host's CPU, µs"], rows.collect());
    let [plain, signed] = ways;
    if let Some(ratio) = Summary::ratio(&signed.figures(per_second), &plain.figures(per_second)) {
        section.targets.push(Target {
            what: format!("requests/s that are signed over those that are not, {MANY} connections"),
            wanted: "at least 0.7",
            got: ratio.to_string(),
            reached: ratio.median >= LEAST_THROUGHPUT,
        });
    }
    section
}
