//! What commands share: the project, the host, and the time.

use std::path::{Path, PathBuf};

use agentcore_auth::Trust;
use agentcore_protocol::{Clock, SystemClock, Timestamp};
use anyhow::Context as _;

use crate::cli::Global;
use crate::client::credentials::NoCredentials;
use crate::client::{ClientError, Endpoint, HostClient, Signer};
use crate::config::entrypoint::normalize;
use crate::config::project::{Project, ProjectError};
use crate::config::state;
use crate::failure::Failure;
use crate::target::Target;

/// Where a command runs.
#[derive(Debug)]
pub(crate) struct Context {
    folder: PathBuf,
    exact: bool,
    endpoint: Option<Endpoint>,
    ca_bundle: Option<Trust>,
}

impl Context {
    /// Takes the options of every command.
    pub(crate) fn new(global: Global) -> anyhow::Result<Self> {
        let here = std::env::current_dir().context("cannot tell the current folder")?;
        let endpoint = global.endpoint.as_deref().map(Endpoint::parse).transpose()?;
        let exact = global.project.is_some();
        let folder = normalize(&here.join(global.project.unwrap_or_default()));
        if !folder.is_dir() {
            return Err(Failure::new(format!("there is no folder {}", folder.display())).into());
        }
        // Tools that set a variable to nothing mean that it is not set.
        let bundle = global.ca_bundle.filter(|path| !path.as_os_str().is_empty());
        let ca_bundle = bundle.map(|path| Trust::of_bundle(&path)).transpose().map_err(|error| {
            Failure::new(error.to_string())
                .hint("--ca-bundle and AWS_CA_BUNDLE name a file of certificates in PEM")
        })?;
        Ok(Self { folder, exact, endpoint, ca_bundle })
    }

    /// The folder that the command is about.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The project: in the folder that `--project` names, else here or above.
    pub(crate) fn project(&self) -> Result<Project, ProjectError> {
        if !self.exact {
            return Project::find(&self.folder);
        }
        let project = Project::open_or_new(&self.folder)?;
        match project.path().exists() {
            true => Ok(project),
            false => Err(ProjectError::NotConfigured(self.folder.clone())),
        }
    }

    /// The project, when there is one. A file that cannot be read is an error all the same.
    pub(crate) fn project_if_any(&self) -> Result<Option<Project>, ProjectError> {
        match self.project() {
            Ok(project) => Ok(Some(project)),
            Err(ProjectError::NotConfigured(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The host: the one that was named, else the one that runs for the project, else the one
    /// that runs for this user, else whatever is at the default address.
    pub(crate) fn host(&self) -> HostClient {
        self.client(self.known_host().unwrap_or_else(Endpoint::default_local))
    }

    /// Whether [`Context::host`] is no more than a guess.
    pub(crate) fn knows_no_host(&self) -> bool {
        self.known_host().is_none()
    }

    fn known_host(&self) -> Option<Endpoint> {
        let found = || Endpoint::discover(self.states().iter().map(PathBuf::as_path));
        self.endpoint.clone().or_else(found)
    }

    /// The host that runs for a project, whatever was named.
    pub(crate) fn host_of(&self, project: &Project) -> Option<HostClient> {
        let state = state::of_project(project.folder());
        Endpoint::discover([state.as_path()]).map(|endpoint| self.client(endpoint))
    }

    /// Where hosts of this user keep their state, as far as it is known.
    fn states(&self) -> Vec<PathBuf> {
        let project = self.project_if_any().ok().flatten();
        let folder = project.as_ref().map_or(self.folder.as_path(), Project::folder);
        [Some(state::of_project(folder)), state::of_server()].into_iter().flatten().collect()
    }

    /// The host or service that was named: with --endpoint, else in this variable of AWS's, or the one for all
    /// services.
    pub(crate) fn named_endpoint(&self, variable: &str) -> Result<Option<Endpoint>, ClientError> {
        let variables = [variable, "AWS_ENDPOINT_URL"].into_iter();
        let mut set = variables.filter_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()));
        match &self.endpoint {
            Some(endpoint) => Ok(Some(endpoint.clone())),
            None => set.next().map(|url| Endpoint::parse(&url)).transpose(),
        }
    }

    /// A client of whoever is at `endpoint`.
    pub(crate) fn client(&self, endpoint: Endpoint) -> HostClient {
        let trust = Trust::chosen_or_of_system(self.ca_bundle.as_ref(), endpoint.has_tls());
        HostClient::new(endpoint, &trust).with_token_of(self.states().iter().map(PathBuf::as_path))
    }

    /// What signs for AWS's API, in a region or in that of whoever runs this, with their credentials.
    pub(crate) async fn signer(&self, region: Option<&str>) -> Result<Signer, NoCredentials> {
        Signer::of_chain(self.ca_bundle.clone(), region).await
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    /// The agent and the session that a command is about: what was named, else what the project
    /// remembers.
    pub(crate) fn target(&self, agent: Option<&str>, session: Option<&str>) -> anyhow::Result<Target> {
        let Some(project) = self.project_if_any()? else {
            return Ok(Target::named(agent, session));
        };
        match project.agent(agent) {
            Ok((name, entry)) => Ok(Target::remembered(&name, session, entry.session_id())),
            // A host may serve agents that this project knows nothing of.
            Err(
                ProjectError::UnknownAgent { .. } | ProjectError::NoAgents(_) | ProjectError::NoDefault(_),
            ) => Ok(Target::named(agent, session)),
            Err(error) => Err(error.into()),
        }
    }
}
