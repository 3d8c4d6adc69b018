//! Removing what is there, or was: what an agent has left, whatever it has made of it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Removes a file, or a link as such, if it is there.
///
/// # Errors
/// It cannot be removed; it is a folder.
pub fn remove_file_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a file or a folder with everything in it, if it is there. Links are removed, not
/// followed.
///
/// Folders are emptied one after the other, each right below `path`, not one inside the other:
/// an agent that makes a hundred thousand folders inside each other could else have the host run
/// out of stack. Only for when nobody writes there any more.
///
/// # Errors
/// Something cannot be removed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.is_dir() => return fs::remove_file(path),
        Ok(_) => {}
    }
    open_up(path)?;
    let pit = path.join(".removing");
    // An earlier attempt may have been cut short.
    match DirBuilder::new().mode(0o700).create(&pit) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if !fs::symlink_metadata(&pit)?.is_dir() {
        fs::remove_file(&pit)?;
        DirBuilder::new().mode(0o700).create(&pit)?;
    }
    let mut moved = Moved { pit: &pit, count: 0 };
    moved.empty(path)?;
    moved.empty_pit()?;
    fs::remove_dir(&pit)?;
    fs::remove_dir(path)
}

/// Folders that wait for being emptied, all in one.
struct Moved<'a> {
    pit: &'a Path,
    count: u64,
}

impl Moved<'_> {
    /// Removes the files of a folder, and moves its folders to the pit.
    fn empty(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if path == self.pit {
                continue;
            }
            if entry.file_type()?.is_dir() {
                // Moving a folder writes to it.
                open_up(&path)?;
                fs::rename(&path, self.free_name())?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn empty_pit(&mut self) -> io::Result<()> {
        loop {
            let mut found = false;
            for entry in fs::read_dir(self.pit)? {
                found = true;
                let path = entry?.path();
                if fs::symlink_metadata(&path)?.is_dir() {
                    open_up(&path)?;
                    self.empty(&path)?;
                    fs::remove_dir(&path)?;
                } else {
                    fs::remove_file(&path)?;
                }
            }
            if !found {
                return Ok(());
            }
        }
    }

    fn free_name(&mut self) -> std::path::PathBuf {
        loop {
            self.count += 1;
            let name = self.pit.join(self.count.to_string());
            if fs::symlink_metadata(&name).is_err() {
                return name;
            }
        }
    }
}

// An agent may have forbidden its own user to write.
fn open_up(folder: &Path) -> io::Result<()> {
    let allowed = 0o700;
    if fs::symlink_metadata(folder)?.permissions().mode() & allowed == allowed {
        return Ok(());
    }
    fs::set_permissions(folder, Permissions::from_mode(allowed))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::symlink;

    use nix::fcntl::{OFlag, open, openat};
    use nix::sys::stat::{Mode, mkdirat};

    use super::*;

    #[test]
    fn everything_goes_and_links_are_not_followed() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::create_dir_all(tree.join("locked/in")).unwrap();
        fs::write(tree.join("a/b/file"), "").unwrap();
        fs::write(tree.join(".removing"), "planted").unwrap();
        fs::write(elsewhere.path().join("kept"), "").unwrap();
        symlink(elsewhere.path(), tree.join("a/link")).unwrap();
        symlink(elsewhere.path(), tree.join("link")).unwrap();
        fs::set_permissions(tree.join("locked"), Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && elsewhere.path().join("kept").exists());
        remove_tree(&tree).unwrap();
        symlink(elsewhere.path(), &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && elsewhere.path().join("kept").exists());
    }

    #[test]
    fn no_depth_is_too_deep() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut at: OwnedFd = open(&tree, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..1_000 {
            mkdirat(&at, "d", Mode::S_IRWXU).unwrap();
            at = openat(&at, "d", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        }
        drop(at);
        let doomed = tree.clone();
        // On a stack that has room for a few calls only, where a host has room for some thousands.
        let small = std::thread::Builder::new().stack_size(64 << 10);
        small.spawn(move || remove_tree(&doomed)).unwrap().join().unwrap().unwrap();
        assert!(!tree.exists());
    }
}
