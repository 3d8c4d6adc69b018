//! Which interpreter runs a Python agent.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Names of virtual environments inside a project.
const ENVIRONMENTS: [&str; 2] = [".venv", "venv"];

/// No interpreter was found.
#[derive(Debug, thiserror::Error)]
#[error("there is no python3 on the PATH: install Python, or make a virtual environment beside the agent")]
pub(crate) struct NoPython;

/// The interpreter for an agent whose code is in `code`: the virtual environment beside the code
/// or above it up to `project`, else the one that is active, else python3.
///
/// The path is not resolved further: an interpreter finds its environment by the name it is
/// called by.
pub(crate) fn interpreter(code: &Path, project: &Path) -> Result<PathBuf, NoPython> {
    find(code, project, env::var_os("VIRTUAL_ENV").as_deref(), env::var_os("PATH").as_deref())
}

fn find(
    code: &Path,
    project: &Path,
    active: Option<&OsStr>,
    search_path: Option<&OsStr>,
) -> Result<PathBuf, NoPython> {
    let folders: Vec<&Path> = if code.starts_with(project) {
        code.ancestors().take_while(|folder| folder.starts_with(project)).collect()
    } else {
        vec![code, project]
    };
    let beside = folders.iter().flat_map(|folder| ENVIRONMENTS.map(|name| folder.join(name)));
    let active = active.filter(|path| !path.is_empty()).map(PathBuf::from);
    let environments = beside.chain(active).map(|environment| environment.join("bin/python"));
    let on_path = env::split_paths(search_path.unwrap_or_default()).map(|folder| folder.join("python3"));
    environments.chain(on_path).find(|python| python.is_file()).ok_or(NoPython)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_projects_own_environment_comes_first_then_the_active_one_then_python3() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path();
        let code = project.join("agents/writer");
        fs::create_dir_all(&code).unwrap();
        let python = |relative: &str| {
            let path = project.join(relative);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        let found = || {
            let active = project.join("active");
            find(&code, project, Some(active.as_os_str()), Some(project.join("usr").as_os_str()))
        };

        assert!(found().is_err());
        for place in [
            "usr/python3",
            "active/bin/python",
            "venv/bin/python",
            ".venv/bin/python",
            "agents/writer/venv/bin/python",
        ] {
            let expected = python(place);
            assert_eq!(found().unwrap(), expected);
        }
    }
}
