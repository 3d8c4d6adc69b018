//! How agents written in Python are started.
//!
//! Python agents name a port in their code (`app.run()` is 8080), and with every session an agent
//! of its own they cannot all have it. The launcher runs the agent as `python agent.py` would and,
//! when the agent starts uvicorn, has that serve the socket that was handed over instead.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The launcher's name in the folder of the incarnation, where init writes it.
pub(crate) const LAUNCHER_FILE: &str = "launcher.py";
/// The launcher as an agent finds it from its working folder.
const LAUNCHER_FROM_WORK: &str = "../launcher.py";
/// The launcher.
pub(crate) const LAUNCHER: &str = include_str!("python/launcher.py");

/// The program and its arguments that run a Python agent in a process sandbox: `python` is the
/// interpreter, `entrypoint` the agent's script (absolute, or relative to the working folder).
pub fn python_command(python: impl Into<PathBuf>, entrypoint: impl AsRef<Path>) -> (PathBuf, Vec<OsString>) {
    // Unbuffered, so that what an agent prints is in its log at once.
    let args = ["-u".into(), LAUNCHER_FROM_WORK.into(), entrypoint.as_ref().into()];
    (python.into(), args.into())
}

/// Whether these arguments are those of [`python_command`].
pub(crate) fn uses_launcher(args: &[OsString]) -> bool {
    args.iter().any(|argument| argument == LAUNCHER_FROM_WORK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_is_written_for_python_agents_alone() {
        let (program, args) = python_command("/usr/bin/python3", "/code/agent.py");
        assert_eq!(program, Path::new("/usr/bin/python3"));
        assert_eq!(args.last().unwrap(), "/code/agent.py");
        assert!(uses_launcher(&args));
        assert!(!uses_launcher(&["/code/agent.py".into()]));
    }
}
