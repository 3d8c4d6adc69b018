//! An agent as `launch -l` would serve it.

use std::time::Duration;

use agentcore_auth::jwt::JwtConfiguration;
use agentcore_protocol::lifecycle::LifecycleConfiguration;
use agentcore_runtime::{HostOptions, ResourceLimitsForm};
use agentcore_sandbox::{NetworkMode, ResourceLimits};
use serde::Serialize;

use crate::config::agent::AgentEntry;
use crate::config::entrypoint::EntrypointKind;
use crate::config::launchable::Launchable;
use crate::config::project::Project;
use crate::output::amount::amount;
use crate::output::table::pairs;
use crate::output::time::span;
use crate::output::{BAD, FAINT, styled};

/// Seconds of a day.
const DAY: f64 = 86_400.0;

#[derive(Debug, Serialize)]
pub(super) struct EffectiveAgent {
    pub(super) name: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What would be launched, or why nothing can be.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Launchable(Box<Values>),
    Broken { error: String },
}

#[derive(Debug, Serialize)]
struct Values {
    kind: EntrypointKind,
    entrypoint: String,
    code: String,
    interpreter: Option<String>,
    protocol: String,
    idle_timeout: u64,
    max_lifetime: u64,
    #[serde(with = "ResourceLimitsForm")]
    limits: ResourceLimits,
    /// `None`: what the machine can.
    network: Option<NetworkMode>,
    authorizer: Option<JwtConfiguration>,
    request_headers: Vec<String>,
    retention: Kept,
    /// What of this the file says.
    configured: Vec<&'static str>,
}

/// Durable invocations and tasks that are kept, and for how long each.
#[derive(Debug, Serialize)]
struct Kept {
    invocations: u32,
    days: f64,
    tasks: u32,
    task_days: f64,
}

impl EffectiveAgent {
    /// What `host` would make of an agent of a project.
    pub(super) fn of(project: &Project, name: &str, host: &HostOptions) -> anyhow::Result<Self> {
        let (name, entry) = project.agent(Some(name))?;
        let outcome = match Launchable::of(project, &name, &entry, LifecycleConfiguration::default()) {
            Ok(found) => Outcome::Launchable(Box::new(Values::of(found, &entry, host))),
            Err(error) => Outcome::Broken { error: error.to_string() },
        };
        Ok(Self { name, outcome })
    }

    /// A line per value.
    pub(super) fn text(&self) -> String {
        match &self.outcome {
            Outcome::Broken { error } => format!("  {} {error}", styled(BAD, "cannot be launched:")),
            Outcome::Launchable(values) => values.text(),
        }
    }
}

impl Values {
    fn of(found: Launchable, entry: &AgentEntry, host: &HostOptions) -> Self {
        let kept = host.retention.of(found.retention);
        Self {
            kind: found.entrypoint.kind,
            entrypoint: found.entrypoint.path.display().to_string(),
            code: found.code.display().to_string(),
            interpreter: found.interpreter.map(|path| path.display().to_string()),
            protocol: entry.protocol(),
            idle_timeout: found.lifecycle.idle_timeout().as_secs(),
            max_lifetime: found.lifecycle.max_lifetime().as_secs(),
            limits: host.limits.of_session(found.limits),
            network: found.network.or(host.network),
            authorizer: found.authorizer,
            request_headers: found.request_headers,
            retention: Kept {
                invocations: kept.invocations_per_agent,
                days: kept.invocation_age.as_secs_f64() / DAY,
                tasks: kept.tasks_per_agent,
                task_days: kept.task_age.as_secs_f64() / DAY,
            },
            configured: configured(entry),
        }
    }

    fn text(&self) -> String {
        let runs = match (self.kind, &self.interpreter) {
            (EntrypointKind::Cargo, _) => format!("what `cargo build` makes of {}", self.entrypoint),
            (_, Some(python)) => format!("{python} {}", self.entrypoint),
            (_, None) => self.entrypoint.clone(),
        };
        let mut lines = vec![("  Runs", runs), ("  Code", self.code.clone())];
        let optional = [
            ("  Protocol", "protocol", Some(self.protocol.clone())),
            ("  Idle timeout", "idle_timeout", Some(format!("{} s", self.idle_timeout))),
            ("  Maximum life", "max_lifetime", Some(format!("{} s", self.max_lifetime))),
            ("  Network", "network", Some(self.network_text())),
            ("  Tokens of", "authorizer", self.authorizer.as_ref().map(|it| it.discovery_url.clone())),
            ("  Headers", "request_headers", Some(self.request_headers.join(", "))),
            ("  Keeps", "retention", Some(self.retention_text())),
        ];
        let values = optional.into_iter().chain(self.limits_text());
        lines.extend(values.filter_map(|(label, key, value)| {
            let value = value.filter(|value| !value.is_empty())?;
            let mark = if self.configured.contains(&key) { "" } else { " (default)" };
            Some((label, format!("{value}{}", styled(FAINT, mark))))
        }));
        pairs(lines)
    }

    fn network_text(&self) -> String {
        match self.network {
            Some(NetworkMode::None) => "none",
            Some(NetworkMode::Egress) => "egress",
            Some(NetworkMode::Host) => "host",
            None => "egress where this machine can, else host",
        }
        .to_owned()
    }

    fn retention_text(&self) -> String {
        let Kept { invocations, days, tasks, task_days } = self.retention;
        let [age, task_age] = [days, task_days].map(|days| span(Duration::from_secs_f64(days * DAY)));
        format!("{invocations} durable invocations, each for {age}; {tasks} tasks, each for {task_age}")
    }

    fn limits_text(&self) -> [(&'static str, &'static str, Option<String>); 5] {
        let ResourceLimits { memory_bytes, processes, cpus, log_bytes, disk_bytes } = self.limits;
        let unless_none = |limit: u64, shown: String| if limit == 0 { "no limit".to_owned() } else { shown };
        let bytes = |limit: u64| unless_none(limit, amount(limit));
        let processes = processes.map(|count| unless_none(count, count.to_string()));
        [
            ("  Memory", "limits.memory_bytes", memory_bytes.map(bytes)),
            ("  Processes", "limits.processes", processes),
            ("  Processors", "limits.cpus", cpus.map(|count| count.to_string())),
            ("  Log", "limits.log_bytes", log_bytes.map(amount)),
            ("  Disk", "limits.disk_bytes", disk_bytes.map(bytes)),
        ]
    }
}

/// The keys of [`Values`] whose values are not defaults.
fn configured(entry: &AgentEntry) -> Vec<&'static str> {
    let (lifecycle, limits) = (entry.lifecycle(), entry.limits);
    let said = [
        ("protocol", entry.says_protocol()),
        ("idle_timeout", lifecycle.idle_runtime_session_timeout.is_some()),
        ("max_lifetime", lifecycle.max_lifetime.is_some()),
        ("limits.memory_bytes", limits.memory_bytes.is_some()),
        ("limits.processes", limits.processes.is_some()),
        ("limits.cpus", limits.cpus.is_some()),
        ("limits.log_bytes", limits.log_bytes.is_some()),
        ("limits.disk_bytes", limits.disk_bytes.is_some()),
        ("network", entry.network.is_some()),
        ("authorizer", entry.authorizer_configuration.is_some()),
        ("request_headers", entry.request_header_configuration.is_some()),
        ("retention", entry.retention.is_some()),
    ];
    said.into_iter().filter(|(_, said)| *said).map(|(key, _)| key).collect()
}
