//! From what the API says of an artifact to what can be run here.
//!
//! Whoever may create a runtime decides what this machine runs. So artifacts come from one folder
//! that the operator names, and without one there are none.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentcore_sandbox::python::python_command;

use super::error::RegistryError;
use super::settings::{Artifact, Code, Settings};
use super::upload::UPLOADS;
use crate::agent::AgentDefinition;

const FIELD: &str = "agentRuntimeArtifact";
/// The bucket of local code.
pub(crate) const BUCKET: &str = "local";
/// AWS's wrapper for telemetry, which is of no use where nobody collects it.
const TELEMETRY: &str = "opentelemetry-instrument";
/// What every program may need of the host's environment, and what gives nothing away.
const INHERITED: [&str; 3] = ["PATH", "LANG", "TZ"];

/// The folder that artifacts come from.
#[derive(Debug, Clone)]
pub(crate) struct CodeRoot(Option<Arc<Path>>);

impl CodeRoot {
    pub(crate) fn new(root: Option<PathBuf>) -> Self {
        Self(root.map(Into::into))
    }

    /// The folder, if there is one.
    pub(crate) fn folder(&self) -> Option<Arc<Path>> {
        self.0.clone()
    }

    /// Where it really is, now.
    fn find(&self) -> Result<RealRoot, RegistryError> {
        let Some(root) = &self.0 else {
            let message = "this host takes no artifacts: start it with --code-root DIR, or launch agents with \
                           `agentcore launch -l`";
            return Err(RegistryError::invalid(FIELD, message));
        };
        let unreadable =
            |error| RegistryError::invalid(FIELD, format!("the host's code root cannot be read: {error}"));
        root.canonicalize().map(RealRoot).map_err(unreadable)
    }
}

/// The real path of the folder that artifacts come from.
struct RealRoot(PathBuf);

impl RealRoot {
    /// The real path of `path`, which must be below the root.
    fn resolve(&self, path: &Path) -> Result<PathBuf, RegistryError> {
        let invalid = |message: String| RegistryError::invalid(FIELD, message);
        let unreadable = |error| invalid(format!("{}: {error}", path.display()));
        let real = self.0.join(path).canonicalize().map_err(unreadable)?;
        if !real.starts_with(&self.0) {
            return Err(invalid(format!("{} is not below the host's code root", path.display())));
        }
        Ok(real)
    }

    /// Refuses `code`, a real path below the root, as the code folder of `agent` if somebody else's
    /// uploads can be read there: a session reads all of its code folder.
    fn check_folder(&self, agent: &str, code: &Path) -> Result<(), RegistryError> {
        let uploads = self.0.join(UPLOADS);
        // The operator may have put them elsewhere. Before the first upload there are none.
        let uploads = uploads.canonicalize().unwrap_or(uploads);
        let refused = |message: String| Err(RegistryError::invalid(FIELD, message));
        if code == self.0 || uploads.starts_with(code) {
            return refused("name a folder of its own below the host's code root, not all of it".to_owned());
        }
        let Ok(inside) = code.strip_prefix(&uploads) else { return Ok(()) };
        if inside.starts_with(agent) && inside.components().count() > 1 {
            return Ok(());
        }
        refused(format!("of the uploads, the agent {agent:?} may have its own as its code"))
    }
}

/// What is to run for these settings. Looks at files, so it blocks.
pub(crate) fn define(
    name: &str,
    settings: &Settings,
    root: &CodeRoot,
) -> Result<AgentDefinition, RegistryError> {
    let mut definition = match &settings.agent_runtime_artifact {
        Some(Artifact::ContainerConfiguration { container_uri }) => executable(name, container_uri, root)?,
        Some(Artifact::CodeConfiguration { code: Code::S3 { bucket, prefix }, runtime, entry_point }) => {
            if bucket != BUCKET {
                let message = format!("the bucket of code on this host is {BUCKET:?}, not {bucket:?}");
                return Err(RegistryError::invalid(FIELD, message));
            }
            python(name, prefix, runtime, entry_point, root)?
        }
        None => return Err(RegistryError::invalid(FIELD, "name what to run")),
    };
    // Who creates runtimes is no operator of this machine.
    definition.confined = true;
    definition.lifecycle = settings.lifecycle()?;
    let session = settings.session.clone().unwrap_or_default();
    (definition.network, definition.limits) = (session.network, session.limits);
    definition.env = environment(&settings.environment_variables);
    definition.authorizer = settings.authorizer().cloned();
    let headers = settings.request_header_configuration.as_ref();
    definition.request_headers = headers
        .map(|headers| {
            headers.request_header_allowlist.iter().map(|name| name.to_ascii_lowercase()).collect()
        })
        .unwrap_or_default();
    definition.validate().map_err(|error| RegistryError::invalid("agentRuntimeName", error.to_string()))?;
    Ok(definition)
}

fn executable(name: &str, uri: &str, root: &CodeRoot) -> Result<AgentDefinition, RegistryError> {
    let Some(path) = uri.strip_prefix("file://").filter(|path| path.starts_with('/')) else {
        let message = "this host runs no containers: name an executable below its code root as file:///path";
        return Err(RegistryError::invalid(FIELD, message));
    };
    let root = root.find()?;
    let program = root.resolve(Path::new(path))?;
    if !program.is_file() {
        return Err(RegistryError::invalid(FIELD, format!("{path} is no file")));
    }
    let code = program.parent().unwrap_or(Path::new("/")).to_owned();
    root.check_folder(name, &code)?;
    Ok(AgentDefinition::new(name, program, code))
}

fn python(
    name: &str,
    prefix: &str,
    runtime: &str,
    entry_point: &[String],
    root: &CodeRoot,
) -> Result<AgentDefinition, RegistryError> {
    let invalid = |message: String| RegistryError::invalid(FIELD, message);
    if !runtime.starts_with("PYTHON_") {
        return Err(invalid(format!(
            "code of {runtime:?} does not run here: PYTHON_* does, and executables do"
        )));
    }
    let (Some(file), wrapper) = (match entry_point {
        [file] => (Some(file), None),
        [wrapper, file] => (Some(file), Some(wrapper)),
        _ => (None, None),
    }) else {
        return Err(invalid("entryPoint names one file".to_owned()));
    };
    if wrapper.is_some_and(|wrapper| wrapper != TELEMETRY) {
        return Err(invalid(format!("entryPoint names one file, after {TELEMETRY:?} or nothing")));
    }
    let root = root.find()?;
    let code = root.resolve(Path::new(prefix.trim_start_matches('/')))?;
    let script = root.resolve(&code.join(file))?;
    if !code.is_dir() || !script.starts_with(&code) || !script.is_file() {
        return Err(invalid(format!("there is no file {file:?} in the folder {prefix:?}")));
    }
    root.check_folder(name, &code)?;
    let (program, args) = python_command(interpreter(&code)?, script);
    let mut definition = AgentDefinition::new(name, program, code);
    definition.args = args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    Ok(definition)
}

/// The code's own virtual environment, else the machine's Python.
fn interpreter(code: &Path) -> Result<PathBuf, RegistryError> {
    let own = code.join(".venv/bin/python");
    if own.exists() {
        return Ok(own);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("python3")).find(|file| file.is_file());
    let missing = || {
        let message =
            "there is no Python: put a virtual environment .venv into the folder, or install python3";
        RegistryError::invalid(FIELD, message)
    };
    found.filter(|python| python.is_absolute()).ok_or_else(missing)
}

fn environment(own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let inherited = INHERITED.into_iter().filter_map(|name| Some((name.to_owned(), env::var(name).ok()?)));
    inherited.chain(own.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(artifact: serde_json::Value) -> Settings {
        Settings::requested(&json!({
            "agentRuntimeArtifact": artifact,
            "roleArn": "arn:aws:iam::123456789012:role/agent",
            "environmentVariables": {"MODE": "test"},
        }))
        .unwrap()
    }

    fn code(prefix: &str, file: &str) -> Settings {
        settings(json!({"codeConfiguration": {
            "code": {"s3": {"bucket": "local", "prefix": prefix}}, "runtime": "PYTHON_3_12",
            "entryPoint": ["opentelemetry-instrument", file],
        }}))
    }

    fn container(uri: &str) -> Settings {
        settings(json!({"containerConfiguration": {"containerUri": uri}}))
    }

    fn refusal(settings: &Settings, root: &CodeRoot) -> String {
        define("writer", settings, root).unwrap_err().to_string()
    }

    #[test]
    fn code_and_executables_below_the_root_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(here.join("writer/.venv/bin")).unwrap();
        for file in ["writer/main.py", "writer/.venv/bin/python", "writer/agent"] {
            std::fs::write(here.join(file), "").unwrap();
        }
        let root = CodeRoot::new(Some(here.clone()));
        let python = define("writer", &code("writer/", "main.py"), &root).unwrap();
        assert_eq!(python.program, here.join("writer/.venv/bin/python"));
        assert_eq!(python.args.last().unwrap(), here.join("writer/main.py").to_str().unwrap());
        assert_eq!(python.env["MODE"], "test");
        assert!(python.confined);
        let uri = format!("file://{}", here.join("writer/agent").display());
        assert_eq!(define("writer", &container(&uri), &root).unwrap().program, here.join("writer/agent"));
    }

    #[test]
    fn nothing_outside_the_root_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("writer")).unwrap();
        std::fs::write(folder.path().join("main.py"), "").unwrap();
        std::os::unix::fs::symlink(folder.path(), root.join("link")).unwrap();
        let root = CodeRoot::new(Some(root));
        for escape in ["..", "link", "writer/../.."] {
            assert!(refusal(&code(escape, "main.py"), &root).contains("not below"), "{escape}");
        }
        assert!(refusal(&code("writer", "../../main.py"), &root).contains("not below"));
        assert!(refusal(&container("file:///bin/sh"), &root).contains("not below"));
        assert!(refusal(&container("docker.io/library/agent"), &root).contains("runs no containers"));
        assert!(refusal(&code("missing", "main.py"), &root).contains("No such file"));
    }

    #[test]
    fn nobody_has_anothers_uploads_for_a_code_folder() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        for upload in ["uploads/writer/a1", "uploads/reader/b2"] {
            std::fs::create_dir_all(here.join(upload)).unwrap();
            for file in ["main.py", "agent"] {
                std::fs::write(here.join(upload).join(file), "").unwrap();
            }
        }
        std::fs::write(here.join("agent"), "").unwrap();
        std::os::unix::fs::symlink("uploads/reader/b2", here.join("link")).unwrap();
        let root = CodeRoot::new(Some(here.to_owned()));
        for (prefix, file) in [
            ("/", "uploads/writer/a1/main.py"),
            ("", "uploads/writer/a1/main.py"),
            ("./", "uploads/writer/a1/main.py"),
            ("uploads/writer/..", "writer/a1/main.py"),
            ("uploads/", "writer/a1/main.py"),
            ("uploads/writer", "a1/main.py"),
            ("uploads/reader/b2", "main.py"),
            ("link", "main.py"),
        ] {
            let told = refusal(&code(prefix, file), &root);
            assert!(told.contains("folder of its own") || told.contains("its own as its code"), "{told}");
        }
        for program in ["agent", "uploads/reader/b2/agent", "link/agent"] {
            let uri = format!("file://{}", here.join(program).display());
            refusal(&container(&uri), &root);
        }
        assert!(define("writer", &code("uploads/writer/a1", "main.py"), &root).is_ok());
        let own = format!("file://{}", here.join("uploads/writer/a1/agent").display());
        assert!(define("writer", &container(&own), &root).is_ok());
    }

    #[test]
    fn without_a_root_there_are_no_artifacts() {
        let refusal = refusal(&container("file:///bin/sh"), &CodeRoot::new(None));
        assert!(refusal.contains("--code-root"), "{refusal}");
    }
}
