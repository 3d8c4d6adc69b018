//! What an entrypoint may be, and what it is.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// File names that are looked for in a folder, in AWS's toolkit's order.
const CANDIDATES: [&str; 4] = ["agent.py", "app.py", "main.py", "__main__.py"];

/// What programs in Linux's own format begin with.
const ELF: &[u8] = b"\x7fELF";

/// An entrypoint that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entrypoint {
    /// The file, or the folder of a Cargo project; absolute.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) kind: EntrypointKind,
    /// The object behind a colon, as in `agent.py:app`.
    pub(crate) object: Option<String>,
}

/// How an entrypoint is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EntrypointKind {
    /// By a Python interpreter.
    Python,
    /// As it is.
    Executable,
    /// Built first, then as it is.
    Cargo,
}

/// Why there is nothing to run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntrypointError {
    #[error("the entrypoint {0} does not exist")]
    Missing(PathBuf),
    #[error(
        "{0} holds none of agent.py, app.py, main.py and __main__.py, and no Cargo.toml: \
         name the file to run, as in `-e {0}/my_agent.py`"
    )]
    EmptyFolder(PathBuf),
    #[error("{folder} could be started in several ways ({}): name the one to run, as in `-e {}`",
        found.join(", "), folder.join(&found[0]).display())]
    Several { folder: PathBuf, found: Vec<String> },
    #[error("{0} is no Python file and not executable: `chmod +x` it if it is a program")]
    NotExecutable(PathBuf),
    #[error(
        "{0} is executable, but no program: it is neither in the machine's own format nor a script whose first \
         line names an interpreter, as `#!/bin/sh` does"
    )]
    NotAProgram(PathBuf),
}

impl Entrypoint {
    /// Finds out what `text` means, seen from the folder `base`.
    pub(crate) fn resolve(text: &str, base: &Path) -> Result<Self, EntrypointError> {
        let whole = base.join(text);
        let (path, object) = match split_object(text) {
            // A file whose name has a colon in it is that file.
            Some((file, object)) if !whole.exists() => (base.join(file), Some(object.to_owned())),
            _ => (whole, None),
        };
        let path = normalize(&path);
        let metadata = fs::metadata(&path).map_err(|_| EntrypointError::Missing(path.clone()))?;
        if metadata.is_dir() {
            return in_folder(path);
        }
        let kind = if path.extension().is_some_and(|extension| extension == "py") {
            EntrypointKind::Python
        } else if path.file_name().is_some_and(|name| name == "Cargo.toml") {
            return in_folder(path.parent().unwrap_or(Path::new("/")).to_owned());
        } else if metadata.permissions().mode() & 0o111 != 0 {
            match is_program(&path) {
                true => EntrypointKind::Executable,
                false => return Err(EntrypointError::NotAProgram(path)),
            }
        } else {
            return Err(EntrypointError::NotExecutable(path));
        };
        Ok(Self { path, kind, object })
    }
}

/// Whether the kernel may know how to run a file: what it takes for a program begins with one of two
/// marks. Of one that cannot be read, only its start can tell.
fn is_program(path: &Path) -> bool {
    let mut start = Vec::with_capacity(ELF.len());
    let read = fs::File::open(path).and_then(|file| file.take(ELF.len() as u64).read_to_end(&mut start));
    read.is_err() || start.starts_with(ELF) || start.starts_with(b"#!")
}

/// `agent.py:app` is the file `agent.py` and the object `app`.
fn split_object(text: &str) -> Option<(&str, &str)> {
    let (file, object) = text.rsplit_once(':')?;
    let is_identifier = object.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && object.chars().all(|c| c.is_alphanumeric() || c == '_');
    (file.ends_with(".py") && is_identifier).then_some((file, object))
}

fn in_folder(folder: PathBuf) -> Result<Entrypoint, EntrypointError> {
    let mut found: Vec<String> =
        CANDIDATES.iter().filter(|name| folder.join(name).is_file()).map(|name| (*name).to_owned()).collect();
    if folder.join("Cargo.toml").is_file() {
        found.push("Cargo.toml".to_owned());
    }
    match found.as_slice() {
        [] => Err(EntrypointError::EmptyFolder(folder)),
        [one] if one == "Cargo.toml" => {
            Ok(Entrypoint { path: folder, kind: EntrypointKind::Cargo, object: None })
        }
        [one] => Ok(Entrypoint { path: folder.join(one), kind: EntrypointKind::Python, object: None }),
        _ => Err(EntrypointError::Several { folder, found }),
    }
}

/// Takes `.` and `..` out without following links: a link to a script is run under its own name,
/// beside its own siblings.
pub(crate) fn normalize(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if result.file_name().is_some() => {
                result.pop();
            }
            std::path::Component::ParentDir if result.has_root() => {}
            other => result.push(other),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A folder with empty files; names that end in `*` are scripts.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file.trim_end_matches('*'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, if file.ends_with('*') { "#!/bin/sh\n" } else { "" }).unwrap();
            let mode = if file.ends_with('*') { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        folder
    }

    fn resolve(
        text: &str,
        files: &[&str],
    ) -> Result<(String, EntrypointKind, Option<String>), EntrypointError> {
        let folder = folder(files);
        let found = Entrypoint::resolve(text, folder.path())?;
        let relative = found.path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
        Ok((relative, found.kind, found.object))
    }

    #[test]
    fn a_file_may_name_the_object_that_serves() {
        use EntrypointKind::Python;
        assert_eq!(resolve("a.py", &["a.py"]), Ok(("a.py".into(), Python, None)));
        assert_eq!(resolve("./x/../a.py:app", &["a.py"]), Ok(("a.py".into(), Python, Some("app".into()))));
        assert_eq!(resolve("odd:name.py", &["odd:name.py"]), Ok(("odd:name.py".into(), Python, None)));
        assert!(matches!(resolve("a.py:1x", &["a.py"]), Err(EntrypointError::Missing(_))));
    }

    #[test]
    fn a_folder_must_hold_exactly_one_way_to_start() {
        use EntrypointKind::{Cargo, Python};
        assert_eq!(resolve("w", &["w/main.py", "w/util.py"]), Ok(("w/main.py".into(), Python, None)));
        assert_eq!(resolve(".", &["Cargo.toml", "src/main.rs"]), Ok(("".into(), Cargo, None)));
        assert_eq!(resolve("Cargo.toml", &["Cargo.toml"]), Ok(("".into(), Cargo, None)));
        // As all files are where a disk knows no such bit.
        assert_eq!(resolve("Cargo.toml", &["Cargo.toml*"]), Ok(("".into(), Cargo, None)));
        let none = resolve("w", &["w/util.py"]).unwrap_err().to_string();
        assert!(none.contains("name the file to run, as in `-e "), "{none}");
        let several = resolve("w", &["w/main.py", "w/app.py", "w/Cargo.toml"]).unwrap_err().to_string();
        assert!(
            several.contains("(app.py, main.py, Cargo.toml)") && several.contains("w/app.py`"),
            "{several}"
        );
    }

    #[test]
    fn a_program_must_be_executable() {
        use EntrypointKind::{Executable, Python};
        assert_eq!(resolve("bin/echo", &["bin/echo*"]), Ok(("bin/echo".into(), Executable, None)));
        assert_eq!(resolve("a.py", &["a.py*"]), Ok(("a.py".into(), Python, None)));
        assert!(matches!(resolve("agent.ts", &["agent.ts"]), Err(EntrypointError::NotExecutable(_))));
        assert!(matches!(resolve("gone", &[]), Err(EntrypointError::Missing(_))));
    }

    #[test]
    fn a_bit_alone_makes_no_program() {
        let folder = folder(&["notes.txt*"]);
        let resolved = |content: &[u8]| {
            fs::write(folder.path().join("notes.txt"), content).unwrap();
            Entrypoint::resolve("notes.txt", folder.path()).map(|found| found.kind)
        };
        for content in [&b""[..], b"# notes", b"echo", b"\x7fEL"] {
            let error = resolved(content).unwrap_err().to_string();
            assert!(error.contains("is executable, but no program"), "{error}");
        }
        for content in [&b"\x7fELF\x02"[..], b"#!/bin/sh\n", b"#!"] {
            assert_eq!(resolved(content), Ok(EntrypointKind::Executable));
        }
    }

    proptest! {
        #[test]
        fn any_text_resolves_or_says_why_not(text in any::<String>()) {
            let folder = tempfile::tempdir().unwrap();
            if let Err(error) = Entrypoint::resolve(&text, folder.path()) {
                prop_assert!(!error.to_string().is_empty());
            }
        }

        #[test]
        fn a_normal_path_has_no_dots(parts in prop::collection::vec("[.]{1,2}|[a-c]", 0..8)) {
            let normal = normalize(&Path::new("/").join(parts.join("/")));
            prop_assert!(normal.is_absolute());
            prop_assert!(normal.components().skip(1).all(|part| matches!(part, std::path::Component::Normal(_))));
        }
    }
}
