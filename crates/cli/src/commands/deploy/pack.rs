//! An agent's code as one archive: a tar in gzip, the same bytes for the same files.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ignore::WalkBuilder;
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

use crate::config::project::FILE_NAME;
use crate::config::state::PROJECT_STATE;

/// Most bytes of an archive that hosts take.
const MOST: usize = 100_000_000;
/// What is of this machine alone, or nobody else's business.
const LEFT_OUT: [&str; 9] =
    [".git", ".venv", "venv", "__pycache__", ".env", ".aws", ".bedrock_agentcore", PROJECT_STATE, FILE_NAME];
/// Files that say what else is left out, beside `.gitignore`.
const IGNORE_FILES: [&str; 2] = [".dockerignore", ".agentcoreignore"];

/// An archive.
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: String,
    pub(super) files: usize,
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    #[error("cannot look through the code: {0}")]
    Walk(#[from] ignore::Error),
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is a link that leads out of the code", .0.display())]
    Leaves(PathBuf),
    #[error("the archive cannot be made: {0}")]
    Archive(#[source] io::Error),
    #[error(
        "the archive has {0} bytes, and hosts take {MOST}: leave out with .gitignore what the agent does not need"
    )]
    TooLarge(usize),
}

/// Collects what goes into an archive.
pub(super) struct Pack {
    tar: Builder<GzEncoder<Vec<u8>>>,
    files: usize,
}

impl Pack {
    pub(super) fn new() -> Self {
        Self { tar: Builder::new(GzEncoder::new(Vec::new(), Compression::default())), files: 0 }
    }

    /// Adds a folder of code, but for what its ignore files and [`LEFT_OUT`] name.
    pub(super) fn add_code(&mut self, folder: &Path) -> Result<(), PackError> {
        let mut walk = WalkBuilder::new(folder);
        walk.hidden(false).parents(false).git_global(false).git_exclude(false).require_git(false);
        for name in IGNORE_FILES {
            walk.add_custom_ignore_filename(name);
        }
        walk.filter_entry(|entry| !LEFT_OUT.iter().any(|name| entry.file_name() == *name));
        self.add_all(&mut walk, folder)
    }

    /// Adds a folder of installed packages, as it is.
    pub(super) fn add_packages(&mut self, folder: &Path) -> Result<(), PackError> {
        let mut walk = WalkBuilder::new(folder);
        self.add_all(walk.standard_filters(false), folder)
    }

    fn add_all(&mut self, walk: &mut WalkBuilder, folder: &Path) -> Result<(), PackError> {
        walk.sort_by_file_name(Ord::cmp);
        let root = folder.canonicalize().map_err(unreadable(folder))?;
        for entry in walk.build() {
            let entry = entry?;
            let path = entry.path();
            let real = path.canonicalize().map_err(unreadable(path))?;
            if !real.starts_with(&root) {
                return Err(PackError::Leaves(path.to_owned()));
            }
            // A link to a file goes along as that file.
            if real.is_file() {
                self.add_file(&real, path.strip_prefix(folder).unwrap_or(path))?;
            }
        }
        Ok(())
    }

    /// Adds one file under a name.
    pub(super) fn add_file(&mut self, path: &Path, name: &Path) -> Result<(), PackError> {
        use std::os::unix::fs::PermissionsExt;
        let mut file = File::open(path).map_err(unreadable(path))?;
        let metadata = file.metadata().map_err(unreadable(path))?;
        let mut header = Header::new_gnu();
        header.set_size(metadata.len());
        header.set_mode(if metadata.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 });
        self.files += 1;
        self.tar.append_data(&mut header, name, &mut file).map_err(PackError::Archive)
    }

    /// The archive.
    pub(super) fn finish(self) -> Result<Packed, PackError> {
        let zipped = self.tar.into_inner().map_err(PackError::Archive)?;
        let bytes = zipped.finish().map_err(PackError::Archive)?;
        if bytes.len() > MOST {
            return Err(PackError::TooLarge(bytes.len()));
        }
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Packed { bytes, sha256, files: self.files })
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> PackError {
    let path = path.to_owned();
    move |source| PackError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use flate2::read::GzDecoder;

    use super::*;

    fn names(packed: &Packed) -> Vec<String> {
        let mut archive = tar::Archive::new(GzDecoder::new(&packed.bytes[..]));
        let entries = archive.entries().unwrap();
        entries.map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    fn packed(folder: &Path) -> Result<Packed, PackError> {
        let mut pack = Pack::new();
        pack.add_code(folder)?;
        pack.finish()
    }

    #[test]
    fn installed_packages_go_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        for file in [".gitignore", ".env/a", "jedi/venv/b", "tool/.aws/c"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "*\n").unwrap();
        }
        let mut pack = Pack::new();
        pack.add_packages(folder.path()).unwrap();
        let packed = pack.finish().unwrap();
        assert_eq!(names(&packed), [".env/a", ".gitignore", "jedi/venv/b", "tool/.aws/c"]);
    }

    #[test]
    fn what_is_ignored_or_private_stays_here_and_the_same_files_make_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "main.py",
            "pkg/a.py",
            "pkg/__pycache__/a.pyc",
            ".git/x",
            ".venv/bin/python",
            ".env",
            "big.bin",
            "notes.md",
            FILE_NAME,
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::write(folder.path().join(".gitignore"), "*.bin\n").unwrap();
        fs::write(folder.path().join(".dockerignore"), "notes.md\n").unwrap();
        std::os::unix::fs::symlink("main.py", folder.path().join("same.py")).unwrap();
        let first = packed(folder.path()).unwrap();
        assert_eq!(names(&first), [".dockerignore", ".gitignore", "main.py", "pkg/a.py", "same.py"]);
        assert_eq!((first.sha256, first.files), (packed(folder.path()).unwrap().sha256, 5));
    }

    #[test]
    fn a_link_that_leads_out_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("users")).unwrap();
        assert!(matches!(packed(folder.path()), Err(PackError::Leaves(_))));
    }
}
