//! Where a host keeps its state.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Name of a project's state folder.
pub(crate) const PROJECT_STATE: &str = ".agentcore";

/// Where `launch -l` keeps the state of the project in `project`.
pub(crate) fn of_project(project: &Path) -> PathBuf {
    project.join(PROJECT_STATE)
}

/// Where `serve` keeps its state when nothing else is said; `None` when there is no home.
pub(crate) fn of_server() -> Option<PathBuf> {
    server_state(nix::unistd::geteuid().is_root(), |name| env::var_os(name))
}

fn server_state(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if root {
        return Some("/var/lib/agentcore".into());
    }
    // The XDG specification has relative paths ignored.
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("agentcore"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_var_lib_and_others_their_own_state_folder() {
        let home = |name: &str| (name == "HOME").then(|| "/home/me".into());
        let both = |name: &str| Some(if name == "HOME" { "/home/me".into() } else { "/state".into() });
        let relative = |name: &str| Some(if name == "HOME" { "/home/me".into() } else { "state".into() });
        let state = |root, variable: &dyn Fn(&str) -> Option<OsString>| {
            server_state(root, variable).map(|path| path.to_str().unwrap().to_owned())
        };
        assert_eq!(state(true, &home).unwrap(), "/var/lib/agentcore");
        assert_eq!(state(false, &home).unwrap(), "/home/me/.local/state/agentcore");
        assert_eq!(state(false, &both).unwrap(), "/state/agentcore");
        assert_eq!(state(false, &relative).unwrap(), "/home/me/.local/state/agentcore");
        assert_eq!(state(false, &|_| None), None);
    }
}
