//! `.bedrock_agentcore.yaml`: the agents of a project, as AWS's toolkit keeps them.

use std::path::{Path, PathBuf};

use agentcore_protocol::SessionId;
use yaml_serde::{Mapping, Value};

use super::agent::{AgentEntry, AgentSettings};
use super::document::{Document, DocumentError};
use super::name::AgentName;

/// Name of the file.
pub(crate) const FILE_NAME: &str = ".bedrock_agentcore.yaml";

/// A project: a folder with that file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Project {
    folder: PathBuf,
    document: Document,
}

/// Where an agent was deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployed {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) endpoint: String,
}

/// Why a project cannot answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectError {
    #[error("no {FILE_NAME} in {0} or above it")]
    NotConfigured(PathBuf),
    #[error("{0} has no agents")]
    NoAgents(PathBuf),
    #[error("there is no agent {name:?}; there is {}", known.join(", "))]
    UnknownAgent { name: String, known: Vec<String> },
    #[error("there are several agents ({}) and none is the default", .0.join(", "))]
    NoDefault(Vec<String>),
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Project {
    /// The project in `folder` itself, made up if there is none yet.
    pub(crate) fn open_or_new(folder: &Path) -> Result<Self, ProjectError> {
        let path = folder.join(FILE_NAME);
        match Document::read(&path)? {
            Some(document) => Self::from_document(folder, document),
            None => Ok(Self { folder: folder.to_owned(), document: Document::new(path) }),
        }
    }

    /// The project that `start` lies in: the nearest folder with the file.
    pub(crate) fn find(start: &Path) -> Result<Self, ProjectError> {
        for folder in start.ancestors() {
            if let Some(document) = Document::read(&folder.join(FILE_NAME))? {
                return Self::from_document(folder, document);
            }
        }
        Err(ProjectError::NotConfigured(start.to_owned()))
    }

    fn from_document(folder: &Path, mut document: Document) -> Result<Self, ProjectError> {
        lift_single_agent(&mut document);
        check_shape(&document)?;
        Ok(Self { folder: folder.to_owned(), document })
    }

    /// The project's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        self.document.path()
    }

    /// Names of the agents, in the file's order.
    pub(crate) fn agent_names(&self) -> Vec<String> {
        let agents = self.document.value(&["agents"]).and_then(Value::as_mapping);
        let keys = agents.into_iter().flat_map(Mapping::keys);
        keys.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The default agent: the one that is set, else the only one.
    pub(crate) fn default_agent(&self) -> Option<String> {
        let set = self.document.value(&["default_agent"]).and_then(Value::as_str);
        match (set, self.agent_names().as_slice()) {
            (Some(name), _) => Some(name.to_owned()),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        }
    }

    /// The agent called `name`, or the default one, and what the file says of it.
    pub(crate) fn agent(&self, name: Option<&str>) -> Result<(String, AgentEntry), ProjectError> {
        let known = self.agent_names();
        if known.is_empty() {
            return Err(ProjectError::NoAgents(self.path().to_owned()));
        }
        let name = match name.map(str::to_owned).or_else(|| self.default_agent()) {
            Some(name) if known.contains(&name) => name,
            Some(name) => return Err(ProjectError::UnknownAgent { name, known }),
            None => return Err(ProjectError::NoDefault(known)),
        };
        let entry = self.document.get(&["agents", &name])?.unwrap_or_default();
        Ok((name, entry))
    }

    /// What the file says of the agent called `name`, if it is there.
    pub(crate) fn agent_if_any(&self, name: &AgentName) -> Result<Option<AgentEntry>, ProjectError> {
        match self.agent(Some(name.as_str())) {
            Ok((_, entry)) => Ok(Some(entry)),
            Err(ProjectError::NoAgents(_) | ProjectError::UnknownAgent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds an agent, or changes it, and makes it the default one.
    pub(crate) fn configure(
        &mut self,
        name: &AgentName,
        settings: &AgentSettings,
    ) -> Result<(), ProjectError> {
        self.update(|project| Ok(settings.apply(name, &mut project.document)?))
    }

    /// Makes another agent the default one.
    pub(crate) fn set_default(&mut self, name: &str) -> Result<(), ProjectError> {
        self.update(|project| {
            project.agent(Some(name))?;
            project.document.set(&["default_agent"], name)?;
            Ok(())
        })
    }

    /// Remembers the session of an agent, or forgets it.
    pub(crate) fn set_session(
        &mut self,
        agent: &str,
        session: Option<&SessionId>,
    ) -> Result<(), ProjectError> {
        let value = session.map_or(Value::Null, |id| id.as_str().into());
        self.set_deployment(agent, [("agent_session_id", value)])
    }

    /// Remembers where an agent was deployed.
    pub(crate) fn set_deployed(&mut self, agent: &str, deployed: &Deployed) -> Result<(), ProjectError> {
        let Deployed { id, arn, endpoint } = deployed;
        let set = [("agent_id", id), ("agent_arn", arn), ("endpoint", endpoint)];
        self.set_deployment(agent, set.map(|(key, value)| (key, value.as_str().into())))
    }

    /// Sets what is kept of an agent's deployment. An agent that was taken out meanwhile stays out.
    fn set_deployment<const N: usize>(
        &mut self,
        agent: &str,
        set: [(&str, Value); N],
    ) -> Result<(), ProjectError> {
        self.update(|project| {
            project.agent(Some(agent))?;
            for (key, value) in set {
                project.document.set(&["agents", agent, "bedrock_agentcore", key], value)?;
            }
            Ok(())
        })
    }

    /// Takes an agent out; with the last one the file goes too. Says which agent is the default
    /// one now.
    pub(crate) fn remove(&mut self, agent: &str) -> Result<Option<String>, ProjectError> {
        self.update(|project| {
            let document = &mut project.document;
            document.remove(&["agents", agent]);
            let left = project.agent_names();
            let Some(first) = left.first() else {
                project.document.replace_root(Mapping::new());
                return Ok(None);
            };
            if project.default_agent().as_deref() == Some(agent) {
                project.document.set(&["default_agent"], first.as_str())?;
            }
            Ok(project.default_agent())
        })
    }

    /// Changes the file as it is now, which may be younger than what was read of it.
    fn update<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, ProjectError>,
    ) -> Result<T, ProjectError> {
        let folder = self.folder.clone();
        self.document.update(|document| {
            let as_read = document.clone();
            let mut project = Self::from_document(&folder, as_read.clone())?;
            let as_meant = project.document.clone();
            let outcome = change(&mut project)?;
            // The layout of an older file alone is no reason to write it.
            *document = if project.document == as_meant { as_read } else { project.document };
            Ok(outcome)
        })
    }
}

/// What cannot be meant is refused when it is read: nothing of it would be found later.
fn check_shape(document: &Document) -> Result<(), DocumentError> {
    document.expect(&["default_agent"], "the name of an agent", Value::is_string)?;
    let named = "a mapping from names to agents";
    document.expect(&["agents"], named, Value::is_mapping)?;
    document.expect(&["agents"], "a mapping whose keys are texts", |agents| {
        agents.as_mapping().is_some_and(|agents| agents.keys().all(Value::is_string))
    })?;
    let agents = document.value(&["agents"]).and_then(Value::as_mapping);
    let names = agents.into_iter().flat_map(Mapping::keys).filter_map(Value::as_str);
    for name in names {
        document.expect(&["agents", name], "a mapping", Value::is_mapping)?;
        for part in ["aws", "bedrock_agentcore"] {
            document.expect(&["agents", name, part], "a mapping", Value::is_mapping)?;
        }
    }
    Ok(())
}

/// Files of the toolkit's first versions hold a single agent at the top: it becomes an agent like
/// the others, as it does in the toolkit.
fn lift_single_agent(document: &mut Document) {
    let root = document.root();
    let name = root.get("name").and_then(Value::as_str);
    if let (Some(name), false, true) = (name, root.contains_key("agents"), root.contains_key("entrypoint")) {
        let agents = Mapping::from_iter([(name.into(), Value::Mapping(root.clone()))]);
        let lifted = [("default_agent".into(), name.into()), ("agents".into(), Value::Mapping(agents))];
        document.replace_root(Mapping::from_iter(lifted));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use agentcore_protocol::lifecycle::LifecycleConfiguration;

    use super::*;
    use crate::config::entrypoint::EntrypointKind;

    /// Written by AWS's toolkit 0.3.14 (its schema, dumped by PyYAML), with made-up values.
    const BY_THE_TOOLKIT: &str = include_str!("../../tests/data/by_the_toolkit.yaml");

    fn project(text: &str) -> (tempfile::TempDir, Project) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), text).unwrap();
        let project = Project::find(folder.path()).unwrap();
        (folder, project)
    }

    fn text(project: &Project) -> String {
        fs::read_to_string(project.path()).unwrap()
    }

    #[test]
    fn a_file_by_awss_toolkit_is_read() {
        let (_folder, project) = project(BY_THE_TOOLKIT);
        let (name, agent) = project.agent(None).unwrap();
        assert_eq!(name, "my_async_agent");
        assert_eq!(agent.entrypoint.as_deref(), Some("/home/me/project/my_async_agent.py"));
        assert_eq!(agent.lifecycle().idle_runtime_session_timeout, Some(600));
        assert_eq!(agent.protocol(), "HTTP");
        assert_eq!(agent.session_id(), None);
    }

    #[test]
    fn a_new_session_changes_one_line_of_a_file_by_awss_toolkit() {
        let (_folder, mut project) = project(BY_THE_TOOLKIT);
        let session: SessionId = uuid::Uuid::nil().into();
        project.set_session("my_async_agent", Some(&session)).unwrap();

        let (before, after) = (BY_THE_TOOLKIT.lines().collect::<Vec<_>>(), text(&project));
        let after: Vec<&str> = after.lines().collect();
        assert_eq!(before.len(), after.len());
        let changed: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
        assert_eq!(
            changed,
            [
                // An account number that starts with 0: quotes keep it a text for any reader.
                (&"      account: 012345678901", &"      account: '012345678901'"),
                (
                    &"      agent_session_id: null",
                    &"      agent_session_id: 00000000-0000-0000-0000-000000000000"
                ),
            ]
        );
        let again = Project::find(project.folder()).unwrap();
        assert_eq!(again.agent(None).unwrap().1.session_id(), Some(session.as_str()));
    }

    #[test]
    fn a_file_with_nothing_to_change_is_not_written() {
        let (_folder, mut project) =
            project("# a comment\nagents: {a: {entrypoint: a.py}}\ndefault_agent: a\n");
        project.set_default("a").unwrap();
        assert!(text(&project).starts_with("# a comment"));
    }

    #[test]
    fn a_new_agent_has_the_keys_that_awss_toolkit_looks_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut project = Project::open_or_new(folder.path()).unwrap();
        let settings = AgentSettings {
            entrypoint: "writer.py".into(),
            source_path: ".".into(),
            kind: Some(EntrypointKind::Python),
            lifecycle: LifecycleConfiguration { idle_runtime_session_timeout: Some(5), max_lifetime: None },
            ..AgentSettings::default()
        };
        project.configure(&"writer".parse().unwrap(), &settings).unwrap();
        assert_eq!(text(&project), include_str!("../../tests/data/by_configure.yaml"));
    }

    #[test]
    fn configuring_again_keeps_what_was_not_said() {
        let (_folder, mut project) = project(BY_THE_TOOLKIT);
        let settings = AgentSettings {
            entrypoint: "other.py".into(),
            source_path: ".".into(),
            region: Some("eu-central-1".into()),
            ..AgentSettings::default()
        };
        project.configure(&"my_async_agent".parse().unwrap(), &settings).unwrap();
        let (_, agent) = project.agent(None).unwrap();
        assert_eq!(agent.entrypoint.as_deref(), Some("other.py"));
        assert_eq!(agent.lifecycle().idle_runtime_session_timeout, Some(600));
        assert!(text(&project).contains("event_expiry_days: 30"));
    }

    #[test]
    fn the_last_agent_takes_the_file_with_it() {
        let (_folder, mut project) = project("default_agent: a\nagents: {a: {}, b: {}, c: {}}\n");
        assert_eq!(project.remove("a").unwrap().as_deref(), Some("b"));
        assert_eq!(project.remove("c").unwrap().as_deref(), Some("b"));
        assert_eq!(project.remove("b").unwrap(), None);
        assert!(!project.path().exists());
    }

    #[test]
    fn an_agent_that_was_taken_out_meanwhile_does_not_come_back() {
        let (_folder, mut project) = project("default_agent: a\nagents: {a: {}, b: {}}\n");
        let mut other = project.clone();
        other.remove("a").unwrap();
        let session: SessionId = uuid::Uuid::nil().into();
        let error = project.set_session("a", Some(&session)).unwrap_err();
        assert!(matches!(error, ProjectError::UnknownAgent { .. }), "{error}");
        other.remove("b").unwrap();
        assert!(matches!(project.set_session("b", None), Err(ProjectError::NoAgents(_))));
        assert!(!project.path().exists());
    }

    #[test]
    fn the_first_layout_with_one_agent_is_read() {
        let (_folder, project) = project("name: solo\nentrypoint: solo.py\naws: {region: us-west-2}\n");
        let (name, agent) = project.agent(None).unwrap();
        assert_eq!((name.as_str(), agent.entrypoint.as_deref()), ("solo", Some("solo.py")));
        let mut project = project;
        project.set_default("solo").unwrap();
        assert!(text(&project).starts_with("name: solo"), "nothing is new, so nothing is written");
        let session: SessionId = uuid::Uuid::nil().into();
        project.set_session("solo", Some(&session)).unwrap();
        assert!(text(&project).starts_with("default_agent: solo"), "{}", text(&project));
    }

    #[test]
    fn a_file_of_another_shape_says_what_is_wrong_with_it() {
        for (text, problem) in [
            ("agents: [1, 2]", "agents is a list, where a mapping from names to agents is meant"),
            ("agents: {1: {}}", "agents is a mapping, where a mapping whose keys are texts is meant"),
            ("agents: {a: main.py}", "agents.a is a text, where a mapping is meant"),
            ("agents: {a: {aws: 5}}", "agents.a.aws is a number, where a mapping is meant"),
            ("default_agent: [a]", "default_agent is a list, where the name of an agent is meant"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE_NAME), text).unwrap();
            for opened in [Project::find(folder.path()), Project::open_or_new(folder.path())] {
                let error = opened.unwrap_err().to_string();
                assert!(error.contains(FILE_NAME) && error.ends_with(problem), "{error}");
            }
        }
    }

    #[test]
    fn who_asks_for_an_agent_that_is_not_there_is_told_what_is() {
        let (folder, project) = project("agents: {a: {}, b: {}}\n");
        assert_eq!(
            project.agent(Some("x")).unwrap_err().to_string(),
            "there is no agent \"x\"; there is a, b"
        );
        assert!(matches!(project.agent(None), Err(ProjectError::NoDefault(_))));
        let below = folder.path().join("deep/er");
        fs::create_dir_all(&below).unwrap();
        assert_eq!(Project::find(&below).unwrap().folder(), folder.path());
    }
}
