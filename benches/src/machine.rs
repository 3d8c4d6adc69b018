//! Where, when and with what it was measured.

use std::path::Path;
use std::process::Command;

use procfs::Current;

/// Two processors, one for a server of its own and one for whoever asks it, if there are two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Apart {
    pub(crate) server: usize,
    pub(crate) generator: usize,
}

impl Apart {
    pub(crate) fn find() -> Option<Self> {
        (processors() >= 2).then_some(Self { server: 0, generator: 1 })
    }
}

pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// The lines that say so, as Markdown.
pub(crate) fn describe(command: &str, python: Option<&Path>) -> String {
    let model = procfs::CpuInfo::current().ok().and_then(|info| info.model_name(0).map(str::to_owned));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = procfs::Meminfo::current().map_or(0, |info| info.mem_total >> 20);
    let mut lines = vec![
        format!(
            "Machine: {} × {}, {memory} MiB, Linux {}",
            processors(),
            model.as_deref().unwrap_or("an unknown processor"),
            kernel.trim()
        ),
        format!("Date: {}", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC")),
        format!("Versions: this project {}, hyper {}, tokio {}", commit(), locked("hyper"), locked("tokio")),
    ];
    if let Some(versions) = python.and_then(python_versions) {
        lines.push(format!("Official SDK: {versions}"));
    }
    lines.push(format!("Command: `{command}`"));
    lines.iter().map(|line| format!("- {line}\n")).collect()
}

/// What is measured; with `-dirty` if anything but the figures themselves is not as it was committed.
fn commit() -> String {
    let Some(commit) = git(&["describe", "--always"]) else { return env!("CARGO_PKG_VERSION").to_owned() };
    let figures = ":(top,exclude)docs/benchmarks.md";
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ":/", figures]);
    if changed.is_some_and(|changed| !changed.is_empty()) { commit + "-dirty" } else { commit }
}

fn git(arguments: &[&str]) -> Option<String> {
    printed(Command::new("git").args(arguments))
}

/// What a program prints, if it succeeds.
fn printed(program: &mut Command) -> Option<String> {
    let output = program.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The version that this program was built with.
fn locked(package: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let name = format!("name = \"{package}\"\nversion = \"");
    let after = lock.split_once(&name).map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default()
}

fn python_versions(python: &Path) -> Option<String> {
    let source = "import platform, importlib.metadata as m\n\
        names = ('bedrock-agentcore', 'starlette', 'uvicorn', 'httptools', 'uvloop')\n\
        print(', '.join([f'{n} {m.version(n)}' for n in names] + ['Python ' + platform.python_version()]))";
    printed(Command::new(python).args(["-c", source]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock_file() {
        assert!(locked("hyper").starts_with("1."), "{}", locked("hyper"));
        assert_eq!(locked("no-such-package"), "");
    }
}
