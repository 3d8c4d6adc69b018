//! Building an agent that is a Cargo project.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::{Artifact, Message, MetadataCommand};

/// Why there is no program to run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("cannot run cargo: {0}")]
    NoCargo(io::Error),
    #[error("cargo build failed in {0}; its messages are above")]
    Failed(PathBuf),
    #[error("{0} builds no program: it has no binary target")]
    NoProgram(PathBuf),
    #[error("{folder} builds several programs ({}): set `default-run` in Cargo.toml to the agent's", names.join(", "))]
    Several { folder: PathBuf, names: Vec<String> },
}

/// Runs `cargo build` in `folder`, whose messages go to standard error, and finds the program that
/// it built. Blocks until cargo is done.
pub(crate) fn build(folder: &Path) -> Result<PathBuf, BuildError> {
    let mut cargo = Command::new("cargo")
        .args(["build", "--message-format=json-render-diagnostics"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(BuildError::NoCargo)?;
    let programs = match cargo.stdout.take() {
        Some(stdout) => programs(Message::parse_stream(BufReader::new(stdout)).map_while(Result::ok)),
        None => Vec::new(),
    };
    if !cargo.wait().map_err(BuildError::NoCargo)?.success() {
        return Err(BuildError::Failed(folder.to_owned()));
    }
    choose(folder, programs, || default_run(folder))
}

/// Name and path of every program that cargo reports.
fn programs(messages: impl Iterator<Item = Message>) -> Vec<(String, PathBuf)> {
    let program = |artifact: Artifact| {
        let path = artifact.executable.filter(|_| artifact.target.is_bin())?;
        Some((artifact.target.name, path.into_std_path_buf()))
    };
    messages
        .filter_map(|message| match message {
            Message::CompilerArtifact(artifact) => program(artifact),
            _ => None,
        })
        .collect()
}

fn choose(
    folder: &Path,
    mut programs: Vec<(String, PathBuf)>,
    default_run: impl FnOnce() -> Option<String>,
) -> Result<PathBuf, BuildError> {
    if programs.len() > 1 {
        let default = default_run();
        let Some(at) = programs.iter().position(|(name, _)| Some(name) == default.as_ref()) else {
            let mut names: Vec<String> = programs.into_iter().map(|(name, _)| name).collect();
            names.sort();
            return Err(BuildError::Several { folder: folder.to_owned(), names });
        };
        return Ok(programs.swap_remove(at).1);
    }
    programs.pop().map(|(_, path)| path).ok_or_else(|| BuildError::NoProgram(folder.to_owned()))
}

/// What `cargo run` would run: the package's `default-run`.
fn default_run(folder: &Path) -> Option<String> {
    let metadata = MetadataCommand::new().current_dir(folder).no_deps().exec().ok()?;
    let manifest = folder.join("Cargo.toml");
    let package = metadata.packages.into_iter().find(|package| package.manifest_path == manifest);
    package.and_then(|package| package.default_run)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn project(manifest: &str, programs: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("src/bin");
        fs::create_dir_all(&bin).unwrap();
        let package = format!("[package]\nname = \"agent\"\nedition = \"2024\"\n{manifest}\n[workspace]\n");
        fs::write(folder.path().join("Cargo.toml"), package).unwrap();
        fs::write(folder.path().join("src/lib.rs"), "").unwrap();
        for name in programs {
            fs::write(bin.join(format!("{name}.rs")), "fn main() {}").unwrap();
        }
        folder
    }

    fn built(folder: &tempfile::TempDir) -> Result<String, String> {
        let program = build(folder.path()).map_err(|error| error.to_string())?;
        assert!(program.is_file());
        Ok(program.file_name().unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn the_only_program_is_the_agent() {
        assert_eq!(built(&project("", &["writer"])), Ok("writer".to_owned()));
    }

    #[test]
    fn of_several_programs_the_default_one_is_the_agent() {
        assert_eq!(built(&project("default-run = \"b\"", &["a", "b"])), Ok("b".to_owned()));
        let error = built(&project("", &["a", "b"])).unwrap_err();
        assert!(error.contains("set `default-run`") && error.contains("a, b"), "{error}");
    }

    #[test]
    fn a_project_without_a_program_says_so() {
        assert!(built(&project("", &[])).unwrap_err().contains("no binary target"));
    }
}
