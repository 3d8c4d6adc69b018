//! Which folder to index.

use std::io;
use std::path::{Path, PathBuf};

/// Why a folder cannot be indexed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is nothing at the path.
    #[error("there is no folder {path:?}{hint}: pass the whole path of a folder that exists as `path`")]
    Missing {
        /// The path as it was sent.
        path: String,
        /// What may be the reason.
        hint: &'static str,
    },
    /// There is something else at the path.
    #[error("{0:?} is a file: pass the folder that it is in as `path`")]
    NotAFolder(String),
    /// The path cannot be followed.
    #[error("{path:?} cannot be opened: {source}")]
    Unusable {
        /// The path as it was sent.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// There is nothing to index by default.
    #[error(
        "there are no crate sources in {places}: build a Rust project with dependencies first, set CARGO_HOME, or pass a folder as `path`"
    )]
    NoDefault {
        /// Where they were looked for.
        places: String,
    },
}

/// The folder at `path`, without symbolic links in it; without a path, the default one.
///
/// # Errors
/// There is none.
pub fn resolve(path: Option<&str>) -> Result<PathBuf, FolderError> {
    match path {
        Some(path) => existing(path),
        None => default_among(&cargo_homes()),
    }
}

fn existing(path: &str) -> Result<PathBuf, FolderError> {
    let folder = Path::new(path).canonicalize().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound if path.starts_with('~') => {
            FolderError::Missing { path: path.into(), hint: " (`~` is a shell's abbreviation)" }
        }
        io::ErrorKind::NotFound => FolderError::Missing { path: path.into(), hint: "" },
        _ => FolderError::Unusable { path: path.into(), source },
    })?;
    if !folder.is_dir() {
        return Err(FolderError::NotAFolder(path.into()));
    }
    if folder.to_str().is_none() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8");
        return Err(FolderError::Unusable { path: path.into(), source });
    }
    // Found out now rather than as an index of nothing.
    folder.read_dir().map_err(|source| FolderError::Unusable { path: path.into(), source })?;
    Ok(folder)
}

/// The sources of crates: they are on every machine that has built a Rust project.
fn default_among(cargo_homes: &[PathBuf]) -> Result<PathBuf, FolderError> {
    let places: Vec<_> = cargo_homes.iter().map(|home| home.join("registry").join("src")).collect();
    places.iter().find_map(|place| place.canonicalize().ok().filter(|place| place.is_dir())).ok_or_else(
        || {
            let places = places.iter().map(|place| place.display().to_string());
            FolderError::NoDefault { places: places.collect::<Vec<_>>().join(" or ") }
        },
    )
}

fn cargo_homes() -> Vec<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()) {
        return vec![home.into()];
    }
    // On a host, HOME is the session's own folder; the user's is in the password database.
    let homes = std::env::home_dir().into_iter().chain(account_home());
    let mut homes: Vec<_> = homes.map(|home| home.join(".cargo")).collect();
    homes.dedup();
    homes
}

#[cfg(unix)]
fn account_home() -> Option<PathBuf> {
    Some(nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok()??.dir)
}

#[cfg(not(unix))]
fn account_home() -> Option<PathBuf> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_is_named_without_links_and_dots() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        let sent = folder.path().join("a/../a/.");
        let resolved = resolve(sent.to_str()).unwrap();
        assert_eq!(resolved, folder.path().canonicalize().unwrap().join("a"));
    }

    #[test]
    fn what_is_no_folder_says_what_to_pass() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = resolve(file.to_str()).unwrap_err();
        assert!(matches!(error, FolderError::NotAFolder(_)), "{error}");
        let error = resolve(folder.path().join("none").to_str()).unwrap_err();
        assert!(matches!(error, FolderError::Missing { .. }), "{error}");
        let error = resolve(Some("~/documents")).unwrap_err();
        assert!(error.to_string().contains("abbreviation"), "{error}");
        assert!(matches!(resolve(Some("")), Err(FolderError::Missing { .. })));
        assert!(matches!(resolve(Some("a\0b")), Err(FolderError::Unusable { .. })));
    }

    #[test]
    fn the_default_is_the_first_place_with_crate_sources() {
        let (without, with) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sources = with.path().join("registry/src");
        fs::create_dir_all(&sources).unwrap();
        let homes = [without.path().to_owned(), with.path().to_owned()];
        assert_eq!(default_among(&homes).unwrap(), sources.canonicalize().unwrap());
        let error = default_among(&homes[..1]).unwrap_err().to_string();
        assert!(error.contains("pass a folder as `path`"), "{error}");
    }
}
