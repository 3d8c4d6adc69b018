//! What a host is told when it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use agentcore_sandbox::{NetworkMode, ResourceLimits};
use serde::{Deserialize, Serialize};

use crate::agent::AgentDefinition;
use crate::audit::AuditOptions;
use crate::host::TlsOptions;
use crate::registry::AwsIdentity;

/// Where a host listens unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// How many requests per second a principal may make of a host that others reach.
const REQUESTS_PER_SECOND: u32 = 200;

/// Everything a host is told when it starts. Unknown fields are refused; printed as JSON it is the
/// effective configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostOptions {
    /// The folder that holds the store, the lock and the incarnations' folders. Made if need be.
    pub state: PathBuf,
    /// The address to serve; beyond loopback only with `auth.required` and `tls`. Port 0 takes any free port.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Agents to serve, beside those that the store remembers.
    #[serde(default)]
    pub agents: Vec<AgentDefinition>,
    /// The agent behind the paths at the root. `None`: the only one there is.
    #[serde(default)]
    pub default_agent: Option<String>,
    /// The folder below which the artifacts are that AWS's API may have run. `None`: it may have
    /// nothing run but what is served anyway.
    #[serde(default)]
    pub code_root: Option<PathBuf>,
    /// What the host's ARNs say of where it is.
    #[serde(default)]
    pub aws: AwsIdentity,
    /// What agents reach of the network, those that say nothing of it: `none`, `egress` or `host`.
    /// `None`: `egress` where sandboxes can have networks of their own, else `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// Whether sessions run only behind every wall, with a network of their own, and with every limit kept
    /// that is set for them. Those that an earlier host left without are stopped.
    #[serde(default)]
    pub require_walls: bool,
    /// What becomes of running sessions when the host shuts down.
    #[serde(default)]
    pub on_shutdown: OnShutdown,
    /// The certificate to serve with. `None`: plain HTTP.
    #[serde(default)]
    pub tls: Option<TlsOptions>,
    /// Who may call.
    #[serde(default)]
    pub auth: AuthOptions,
    /// Limits on what callers may use.
    #[serde(default)]
    pub limits: HostLimits,
    /// How long the host waits for what.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How much of the past is kept.
    #[serde(default)]
    pub retention: Retention,
    /// How much is kept of who did what.
    #[serde(default)]
    pub audit: AuditOptions,
}

impl HostOptions {
    /// Options with every default, for a host whose state is in the folder `state`.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            listen: DEFAULT_LISTEN,
            agents: Vec::new(),
            default_agent: None,
            code_root: None,
            aws: AwsIdentity::default(),
            network: None,
            require_walls: false,
            on_shutdown: OnShutdown::default(),
            tls: None,
            auth: AuthOptions::default(),
            limits: HostLimits::default(),
            timeouts: Timeouts::default(),
            retention: Retention::default(),
            audit: AuditOptions::default(),
        }
    }
}

impl HostOptions {
    /// How many requests a principal may make per second; `None`: as many as they like.
    pub(crate) fn requests_per_second(&self) -> Option<u32> {
        let default = if self.listen.ip().is_loopback() { 0 } else { REQUESTS_PER_SECOND };
        Some(self.limits.requests_per_second.unwrap_or(default)).filter(|limit| *limit > 0)
    }
}

fn default_listen() -> SocketAddr {
    DEFAULT_LISTEN
}

/// What becomes of running sessions when the host shuts down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnShutdown {
    /// They go on, and the next host adopts them.
    #[default]
    Leave,
    /// They are stopped, with the reason `HostShutdown`.
    Stop,
}

/// Who may call.
///
/// Access keys, which `agentcore keys` makes, are in the state folder. Wherever there are any, whoever
/// signs must sign with one of them; only what `required` says is refused without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthOptions {
    /// Whether every caller has to show who they are. Otherwise whoever reaches the loopback address
    /// may do everything.
    pub required: bool,
    /// Listen beyond loopback without TLS, because it ends in front of the host: signatures keep
    /// what is asked from being changed, not from being read.
    pub plain_http: bool,
}

/// Limits on what callers may use. Beyond them the answer is 429.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostLimits {
    /// Sessions at once, over all agents.
    pub sessions: usize,
    /// New sessions per second; as many may begin in one burst.
    pub new_sessions_per_second: u32,
    /// Requests in flight per session.
    pub requests_per_session: u32,
    /// Requests per second of each principal, with as many in one burst; 0 is no limit. By default
    /// there is none on a loopback address, and 200 elsewhere.
    pub requests_per_second: Option<u32>,
    /// Bytes of disk that the folders of one session may take, of agents that say nothing of it; 0 is no
    /// limit. A session that takes more is ended.
    pub disk_bytes_per_session: u64,
    /// Bytes of memory that one session may use, of agents that say nothing of it; 0 is no limit. By
    /// default it is half of the machine's. Kept where there are control groups.
    pub memory_bytes_per_session: Option<u64>,
    /// Processes and threads that one session may have, of agents that say nothing of it; 0 is no limit.
    pub processes_per_session: u64,
}

impl HostLimits {
    /// What a session of an agent with these limits may use. 0 stands for no limit.
    pub fn of_session(&self, agent: ResourceLimits) -> ResourceLimits {
        let memory = self.memory_bytes_per_session.unwrap_or_else(half_of_the_memory);
        ResourceLimits {
            memory_bytes: agent.memory_bytes.or(Some(memory)),
            processes: agent.processes.or(Some(self.processes_per_session)),
            disk_bytes: agent.disk_bytes.or(Some(self.disk_bytes_per_session)),
            ..agent
        }
    }
}

// No session is to take all that the others, and the host, need.
fn half_of_the_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"));
    let kib: Option<u64> = total.and_then(|total| total.trim().parse().ok());
    kib.map_or(0, |kib| kib * 1024 / 2)
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            sessions: 2_000,
            new_sessions_per_second: 50,
            requests_per_session: 256,
            requests_per_second: None,
            disk_bytes_per_session: 10 << 30,
            memory_bytes_per_session: None,
            processes_per_session: 1_024,
        }
    }
}

/// How long the host waits for what, each in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// From the start of a session to its first answer to `/ping`.
    #[serde(with = "seconds")]
    pub startup: Duration,
    /// Between SIGTERM and SIGKILL.
    #[serde(with = "seconds")]
    pub stop_grace: Duration,
    /// For an invocation to begin its answer.
    #[serde(with = "seconds")]
    pub answer: Duration,
    /// For an invocation's answer to end, once begun.
    #[serde(with = "seconds")]
    pub stream: Duration,
    /// For a durable invocation's answer to end, once an agent has the request: who waits for nothing
    /// is not bound to how long a caller waits.
    #[serde(with = "seconds")]
    pub durable: Duration,
    /// For requests in flight to end when the host shuts down.
    #[serde(with = "seconds")]
    pub drain: Duration,
    /// Between two pings of a session.
    #[serde(with = "seconds")]
    pub ping_interval: Duration,
    /// For a session last seen idle to answer pings again.
    #[serde(with = "seconds")]
    pub unresponsive_idle: Duration,
    /// For a session last seen busy to answer pings again.
    #[serde(with = "seconds")]
    pub unresponsive_busy: Duration,
}

impl Timeouts {
    /// How long an agent may take to answer.
    pub(crate) fn of_answer(&self) -> AnswerPatience {
        AnswerPatience { begin: self.answer, end: self.stream }
    }
}

/// How long the host waits for an agent's answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerPatience {
    /// To begin.
    pub(crate) begin: Duration,
    /// To end, once it has begun.
    pub(crate) end: Duration,
}

impl AnswerPatience {
    /// As long as it takes.
    pub(crate) const ENDLESS: Self = Self { begin: Duration::MAX, end: Duration::MAX };
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            startup: Duration::from_secs(120),
            stop_grace: Duration::from_secs(30),
            answer: Duration::from_secs(15 * 60),
            stream: Duration::from_secs(60 * 60),
            durable: Duration::from_secs(8 * 60 * 60),
            drain: Duration::from_secs(10),
            ping_interval: Duration::from_secs(2),
            unresponsive_idle: Duration::from_secs(30),
            unresponsive_busy: Duration::from_secs(15 * 60),
        }
    }
}

/// How much of the past is kept. The oldest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Stopped incarnations per agent, with their logs.
    pub stopped_per_agent: u32,
    /// Timeline events per incarnation.
    pub events_per_incarnation: u32,
    /// Durable invocations per agent, with their answers.
    pub invocations_per_agent: u32,
    /// For how long after its end an invocation is kept, in seconds.
    #[serde(with = "seconds")]
    pub invocation_age: Duration,
    /// Bytes of the answers of one agent's durable invocations; 0 is no limit.
    pub answer_bytes_per_agent: u64,
    /// Tasks per agent, of sessions that have ended.
    pub tasks_per_agent: u32,
    /// How long ago a task may have ended, in seconds.
    #[serde(with = "seconds")]
    pub task_age: Duration,
    /// For how long code is kept that was uploaded and that nobody uses, in seconds.
    #[serde(with = "seconds")]
    pub upload_age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            stopped_per_agent: 200,
            events_per_incarnation: 1_000,
            invocations_per_agent: 10_000,
            invocation_age: Duration::from_secs(7 * 24 * 60 * 60),
            answer_bytes_per_agent: 10 << 30,
            tasks_per_agent: 10_000,
            task_age: Duration::from_secs(7 * 24 * 60 * 60),
            upload_age: Duration::from_secs(60 * 60),
        }
    }
}

/// How much of the past of one agent is kept, where that is not what the host keeps of each.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentRetention {
    /// Durable invocations, with their answers.
    pub invocations: Option<u32>,
    /// Tasks, of sessions that have ended.
    pub tasks: Option<u32>,
    /// For how many days after their end both are kept.
    pub days: Option<f64>,
}

impl Retention {
    /// What is kept of an agent that may have said so itself.
    #[must_use]
    pub fn of(self, agent: Option<AgentRetention>) -> Self {
        let own = agent.unwrap_or_default();
        let age = own.days.and_then(days);
        Self {
            invocations_per_agent: own.invocations.unwrap_or(self.invocations_per_agent),
            invocation_age: age.unwrap_or(self.invocation_age),
            tasks_per_agent: own.tasks.unwrap_or(self.tasks_per_agent),
            task_age: age.unwrap_or(self.task_age),
            ..self
        }
    }
}

/// So many days, if that is a length of time.
pub fn days(days: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(days * 86_400.0).ok()
}

/// Durations as people write them: seconds, fractions allowed.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| D::Error::custom(format!("{seconds} is no number of seconds")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_alone_is_enough() {
        let options: HostOptions = serde_json::from_str(r#"{"state":"/tmp/x"}"#).unwrap();
        assert_eq!(options, HostOptions::new("/tmp/x"));
    }

    #[test]
    fn an_unknown_field_is_refused_at_every_level() {
        for text in [
            r#"{"state":"/tmp/x","lisen":"127.0.0.1:1"}"#,
            r#"{"state":"/tmp/x","limits":{"session":1}}"#,
            r#"{"state":"/tmp/x","timeouts":{"start":1}}"#,
            r#"{"state":"/tmp/x","agents":[{"name":"a","program":"/bin/a","code":"/","lifecycl":{}}]}"#,
        ] {
            let error = serde_json::from_str::<HostOptions>(text).unwrap_err();
            assert!(error.to_string().contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let mut options = HostOptions::new("/tmp/x");
        options.agents.push(AgentDefinition::new("writer", "/usr/bin/python3", "/srv/writer"));
        options.timeouts.drain = Duration::from_millis(1_500);
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<HostOptions>(&json).unwrap(), options);
    }

    #[test]
    fn a_negative_number_of_seconds_is_refused() {
        let error = serde_json::from_str::<Timeouts>(r#"{"drain":-1}"#).unwrap_err();
        assert!(error.to_string().contains("-1 is no number of seconds"), "{error}");
    }
}
