//! An agent of a project, worked out as far as it can be without building it.

use std::path::{Path, PathBuf};

use agentcore_auth::jwt::JwtConfiguration;
use agentcore_protocol::LifecycleLimits;
use agentcore_protocol::lifecycle::{InvalidLifecycle, LifecycleBounds, LifecycleConfiguration};
use agentcore_runtime::AgentRetention;
use agentcore_sandbox::{NetworkMode, ResourceLimits};

use super::agent::AgentEntry;
use super::cargo::{self, BuildError};
use super::entrypoint::{Entrypoint, EntrypointError, EntrypointKind, normalize};
use super::project::Project;
use super::python::{self, NoPython};

/// What is to be started, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Launchable {
    pub(crate) name: String,
    pub(crate) entrypoint: Entrypoint,
    /// The folder with the agent's code.
    pub(crate) code: PathBuf,
    /// The interpreter of a Python agent.
    pub(crate) interpreter: Option<PathBuf>,
    pub(crate) lifecycle: LifecycleLimits,
    /// What the tokens of callers have to be, if they bring any.
    pub(crate) authorizer: Option<JwtConfiguration>,
    /// The headers of callers that reach it beside the usual ones.
    pub(crate) request_headers: Vec<String>,
    /// What its sessions reach of the network, if that is said.
    pub(crate) network: Option<NetworkMode>,
    /// What one of its sessions may use.
    pub(crate) limits: ResourceLimits,
    /// How much is kept of what it was asked, if that is said.
    pub(crate) retention: Option<AgentRetention>,
}

/// Why an agent cannot be launched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("agent {0} has no entrypoint")]
    NoEntrypoint(String),
    #[error("agent {name} speaks {protocol}: so far the host serves HTTP agents only")]
    Protocol { name: String, protocol: String },
    #[error("agent {name}: {source}")]
    Entrypoint { name: String, source: EntrypointError },
    #[error("agent {name}: {source}")]
    Lifecycle { name: String, source: InvalidLifecycle },
    #[error("agent {name}: {field} is not as AWS's API has it: {reason}")]
    Configuration { name: String, field: &'static str, reason: String },
    #[error(transparent)]
    Python(#[from] NoPython),
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Launchable {
    /// Works out agent `name` of a project; `overrides` go before what the file says.
    pub(crate) fn of(
        project: &Project,
        name: &str,
        entry: &AgentEntry,
        overrides: LifecycleConfiguration,
    ) -> Result<Self, LaunchError> {
        let protocol = entry.protocol();
        if protocol != "HTTP" {
            return Err(LaunchError::Protocol { name: name.to_owned(), protocol });
        }
        let text = entry.entrypoint.as_deref().ok_or_else(|| LaunchError::NoEntrypoint(name.to_owned()))?;
        let entrypoint = Entrypoint::resolve(text, project.folder())
            .map_err(|source| LaunchError::Entrypoint { name: name.to_owned(), source })?;
        let code = match &entry.source_path {
            Some(path) => normalize(&project.folder().join(path)),
            None => code_folder(&entrypoint, project.folder()),
        };
        let refused =
            |field| move |reason: String| LaunchError::Configuration { name: name.to_owned(), field, reason };
        let authorizer = entry.authorizer().map_err(refused("authorizer_configuration"))?;
        let request_headers = entry.request_headers().map_err(refused("request_header_configuration"))?;
        let interpreter = match entrypoint.kind {
            EntrypointKind::Python => Some(python::interpreter(&code, project.folder())?),
            EntrypointKind::Executable | EntrypointKind::Cargo => None,
        };
        let limits = lifecycle(entry, overrides)
            .resolve(LifecycleBounds::LOCAL)
            .map_err(|source| LaunchError::Lifecycle { name: name.to_owned(), source })?;
        Ok(Self {
            name: name.to_owned(),
            entrypoint,
            code,
            interpreter,
            lifecycle: limits,
            authorizer,
            request_headers,
            network: entry.network,
            limits: entry.limits,
            retention: entry.retention,
        })
    }

    /// The file to run; a Cargo project is built for it, which may take a while.
    pub(crate) fn built(&self) -> Result<PathBuf, LaunchError> {
        let path = &self.entrypoint.path;
        Ok(match self.entrypoint.kind {
            EntrypointKind::Cargo => cargo::build(path)?,
            EntrypointKind::Python | EntrypointKind::Executable => path.clone(),
        })
    }
}

/// The folder that an entrypoint's code is in: beside a Python file, as on AWS; a program may lie
/// anywhere, and runs in the project.
pub(crate) fn code_folder(entrypoint: &Entrypoint, project: &Path) -> PathBuf {
    match entrypoint.kind {
        EntrypointKind::Python => entrypoint.path.parent().unwrap_or(project).to_owned(),
        EntrypointKind::Cargo => entrypoint.path.clone(),
        EntrypointKind::Executable => project.to_owned(),
    }
}

/// How long sessions live: what was said on the command line, then what the file says.
pub(crate) fn lifecycle(entry: &AgentEntry, overrides: LifecycleConfiguration) -> LifecycleConfiguration {
    merge(entry.lifecycle(), overrides)
}

/// Puts what was said on the command line before what the file says.
///
/// A life that is shorter than the file's idle timeout serves as both, so that
/// `--max-lifetime 60` alone never needs a second flag.
fn merge(file: LifecycleConfiguration, overrides: LifecycleConfiguration) -> LifecycleConfiguration {
    let max_lifetime = overrides.max_lifetime.or(file.max_lifetime);
    let idle = match (overrides.idle_runtime_session_timeout, overrides.max_lifetime) {
        (Some(idle), _) => Some(idle),
        (None, Some(life)) => file.idle_runtime_session_timeout.map(|idle| idle.min(life)),
        (None, None) => file.idle_runtime_session_timeout,
    };
    LifecycleConfiguration { idle_runtime_session_timeout: idle, max_lifetime }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::project::FILE_NAME;

    fn launchable(agent: &str, overrides: LifecycleConfiguration) -> Result<Launchable, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("w")).unwrap();
        fs::create_dir_all(folder.path().join(".venv/bin")).unwrap();
        fs::write(folder.path().join(".venv/bin/python"), "").unwrap();
        fs::write(folder.path().join("w/main.py"), "").unwrap();
        fs::write(folder.path().join(FILE_NAME), format!("agents: {{a: {agent}}}")).unwrap();
        let project = Project::find(folder.path()).unwrap();
        let (name, entry) = project.agent(None).unwrap();
        let mut found =
            Launchable::of(&project, &name, &entry, overrides).map_err(|error| error.to_string())?;
        found.code = found.code.strip_prefix(folder.path()).unwrap().to_owned();
        Ok(found)
    }

    fn limits(idle: Option<u64>, life: Option<u64>) -> LifecycleConfiguration {
        LifecycleConfiguration { idle_runtime_session_timeout: idle, max_lifetime: life }
    }

    #[test]
    fn the_code_of_a_python_agent_is_beside_its_file_unless_the_file_says_otherwise() {
        let none = LifecycleConfiguration::default();
        assert_eq!(launchable("{entrypoint: w/main.py}", none).unwrap().code, Path::new("w"));
        assert_eq!(launchable("{entrypoint: w, source_path: .}", none).unwrap().code, Path::new(""));
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = "{entrypoint: w, aws: {lifecycle_configuration: \
                     {idle_runtime_session_timeout: 300, max_lifetime: 600}}}";
        let seconds = |overrides| {
            let limits = launchable(file, overrides)?.lifecycle;
            Ok::<_, String>((limits.idle_timeout().as_secs(), limits.max_lifetime().as_secs()))
        };
        assert_eq!(seconds(limits(None, None)), Ok((300, 600)));
        assert_eq!(seconds(limits(Some(5), None)), Ok((5, 600)));
        assert_eq!(seconds(limits(None, Some(60))), Ok((60, 60)));
        assert!(seconds(limits(Some(900), None)).unwrap_err().contains("less than or equal"));
    }

    #[test]
    fn what_cannot_be_launched_says_why() {
        let none = LifecycleConfiguration::default();
        assert!(launchable("{}", none).unwrap_err().contains("no entrypoint"));
        assert!(launchable("{entrypoint: gone.py}", none).unwrap_err().contains("does not exist"));
        let mcp = "{entrypoint: w, aws: {protocol_configuration: {server_protocol: mcp}}}";
        assert!(launchable(mcp, none).unwrap_err().contains("speaks MCP"));
    }
}
