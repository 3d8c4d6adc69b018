//! The agent's surroundings: its folders, its view of the code, its environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;
use std::{fs, io};

use agentcore_protocol::agent::env;

use crate::SANDBOX_VARIABLE;
use crate::folder::IncarnationFolder;
use crate::python;
use crate::walls::identity::Identity;
use crate::wire::Order;

/// Makes the folders that an agent may write to.
pub(super) fn make_folders(folder: &IncarnationFolder) -> io::Result<()> {
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    folder.own().iter().try_for_each(|path| private.create(path))
}

/// Hands what is the agent's over to whom the agent is outside.
pub(super) fn give_folders(folder: &IncarnationFolder, identity: Identity) -> io::Result<()> {
    let mut given = folder.own().into_iter().chain([folder.socket()]);
    given.try_for_each(|path| identity.give(&path))?;
    match identity.give(&folder.launcher()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes each entry of the code folder to be found in the working folder, so that relative reads
/// work while new files stay the session's own. Hidden files, virtual environments and compiled
/// code are left out.
pub(super) fn link_code(code: &Path, work: &Path) -> io::Result<()> {
    for entry in fs::read_dir(code)? {
        let name = entry?.file_name();
        let target = code.join(&name);
        if is_left_out(&name, &target) {
            continue;
        }
        match symlink(&target, work.join(&name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Writes the launcher of Python agents, if this is one.
pub(super) fn write_launcher(folder: &IncarnationFolder, args: &[OsString]) -> io::Result<()> {
    if python::uses_launcher(args) { fs::write(folder.launcher(), python::LAUNCHER) } else { Ok(()) }
}

/// The agent's whole environment: what was declared, and what the sandbox has to say.
pub(super) fn environment(
    order: &mut Order,
    folder: &IncarnationFolder,
    port: u16,
) -> Vec<(OsString, OsString)> {
    let mut variables = std::mem::take(&mut order.env);
    let ours: [(&str, OsString); 6] = [
        ("HOME", folder.home().into()),
        ("TMPDIR", folder.temporary().into()),
        ("PWD", folder.work().into()),
        (env::PORT, port.to_string().into()),
        (env::JOURNAL_DIR, folder.journal().into()),
        (SANDBOX_VARIABLE, folder.path().into()),
    ];
    let taken = [env::LISTEN_FDS, env::LISTEN_PID];
    variables
        .retain(|(name, _)| !taken.iter().chain(ours.iter().map(|(ours, _)| ours)).any(|ours| name == ours));
    variables.extend(ours.map(|(name, value)| (name.into(), value)));
    variables
}

fn is_left_out(name: &OsStr, path: &Path) -> bool {
    name.as_bytes().starts_with(b".") || name == "__pycache__" || path.join("pyvenv.cfg").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_linked_without_what_is_no_code() {
        let (code, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in ["data", "env", "__pycache__", ".git"] {
            fs::create_dir(code.path().join(folder)).unwrap();
        }
        for file in ["agent.py", "env/pyvenv.cfg", ".env"] {
            fs::write(code.path().join(file), "").unwrap();
        }
        link_code(code.path(), work.path()).unwrap();
        link_code(code.path(), work.path()).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(work.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["agent.py", "data"]);
        assert_eq!(fs::read_link(work.path().join("data")).unwrap(), code.path().join("data"));
    }
}
