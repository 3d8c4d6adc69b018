//! What a program needs to run: interpreters, virtual environments, toolchains, and links to them.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::plan::{Bind, Plan};
use crate::wire::Order;

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;
/// Interpreters of interpreters.
const DEEPEST: usize = 4;
/// Variables that name files which a program is meant to read: whoever sets one declares the file.
const FILE_VARIABLES: [&str; 11] = [
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CA_BUNDLE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "VIRTUAL_ENV",
];
/// The same for lists of folders.
const LIST_VARIABLES: [&str; 3] = ["PYTHONPATH", "NODE_PATH", "LD_LIBRARY_PATH"];

/// Shows what the order's program, arguments and environment need.
pub(super) fn add(plan: &mut Plan, order: &Order) -> io::Result<()> {
    let mut finder = Finder::new(plan);
    let variable = |name: &str| order.env.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    finder.search = variable("PATH").cloned().unwrap_or_default();
    // A program that is missing is for exec to say.
    let _ = finder.program(Path::new(&order.program), DEEPEST);
    if let Some(found) = finder.behind_env(&order.program, &order.args) {
        let _ = finder.program(&found, DEEPEST);
    }
    let files = FILE_VARIABLES.iter().filter_map(|name| variable(name)).map(PathBuf::from);
    let lists = LIST_VARIABLES.iter().filter_map(|name| variable(name)).flat_map(std::env::split_paths);
    let arguments = order.args.iter().map(PathBuf::from).filter(|path| path.is_file());
    for path in files.chain(lists).chain(arguments).filter(|path| path.is_absolute()) {
        // What is named but not there is no reason not to start.
        let _ = finder.show(&path);
    }
    Ok(())
}

/// Shows what the operator declared, which has to be there.
pub(super) fn add_declared(plan: &mut Plan, path: &Path) -> io::Result<()> {
    Finder::new(plan)
        .show(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Adds to a plan what it finds.
pub(super) struct Finder<'a> {
    plan: &'a mut Plan,
    search: OsString,
}

impl<'a> Finder<'a> {
    pub(super) fn new(plan: &'a mut Plan) -> Self {
        Self { plan, search: OsString::new() }
    }

    /// Shows a file or a folder and the links on the way.
    pub(super) fn show(&mut self, path: &Path) -> io::Result<()> {
        let found = self.reach(path)?;
        self.plan.show(&found, Bind::Lent);
        Ok(())
    }

    /// Adds the links on the way to `path`, and returns where it ends.
    fn reach(&mut self, path: &Path) -> io::Result<PathBuf> {
        let mut ahead: VecDeque<OsString> = names(path).collect();
        let (mut reached, mut links) = (PathBuf::from("/"), 0);
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                reached.pop();
                continue;
            }
            let next = reached.join(&name);
            if !fs::symlink_metadata(&next)?.is_symlink() {
                reached = next;
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            let to = fs::read_link(&next)?;
            if to.is_absolute() {
                reached = PathBuf::from("/");
            }
            for name in names(&to).collect::<Vec<_>>().into_iter().rev() {
                ahead.push_front(name);
            }
            self.plan.link(&next, to);
        }
        Ok(reached)
    }

    /// Shows a program with what it is installed with, and its interpreter.
    fn program(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        if let Some(environment) = two_up(path).filter(|folder| folder.join("pyvenv.cfg").is_file()) {
            self.virtual_environment(environment, depth)?;
        }
        let file = self.reach(path)?;
        if !self.plan.shows(&file) {
            self.installation(&file);
        }
        match interpreter(&file) {
            Some(command) if depth > 0 => {
                self.program(&command[0], depth - 1)?;
                let args: Vec<OsString> = command[1..].iter().map(OsString::from).collect();
                match self.behind_env(command[0].as_os_str(), &args) {
                    Some(found) => self.program(&found, depth - 1),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Shows a virtual environment, the Python that it was made with, and what is installed into it
    /// from elsewhere (`pip install -e`).
    fn virtual_environment(&mut self, environment: &Path, depth: usize) -> io::Result<()> {
        self.show(environment)?;
        let settings = fs::read_to_string(environment.join("pyvenv.cfg"))?;
        let home =
            settings.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == "home");
        if let Some((_, home)) = home
            && depth > 0
        {
            // Python finds its library from there, whichever of its names that is.
            let _ = self.program(&Path::new(home.trim()).join("python3"), depth - 1);
        }
        for folder in elsewhere(environment) {
            let _ = self.show(&folder);
        }
        Ok(())
    }

    /// Shows the folder that a program is installed in, if that is one: `<folder>/bin/<file>` with a
    /// `<folder>/lib` beside it. Else the file alone, for what is around it may be anything.
    fn installation(&mut self, file: &Path) {
        let Some(folder) = two_up(file).filter(|_| file.parent().is_some_and(is_for_programs)) else {
            return self.plan.show(file, Bind::Lent);
        };
        if file.parent().is_some_and(|parent| parent.ends_with("shims")) {
            self.plan.show(folder, Bind::Lent);
        } else if !folder.join("lib").is_dir() {
            self.plan.show(file, Bind::Lent);
        } else if is_home(folder) {
            for part in ["bin", "lib", "lib64"].map(|name| folder.join(name)) {
                if part.is_dir() {
                    self.plan.show(&part, Bind::Lent);
                }
            }
        } else {
            self.plan.show(folder, Bind::Lent);
        }
    }

    /// What `env` runs.
    fn behind_env(&self, program: &OsStr, args: &[OsString]) -> Option<PathBuf> {
        if Path::new(program).file_name() != Some(OsStr::new("env")) {
            return None;
        }
        let is_name = |arg: &&OsString| !arg.as_bytes().starts_with(b"-") && !arg.as_bytes().contains(&b'=');
        let name = args.iter().find(is_name)?;
        std::env::split_paths(&self.search).map(|folder| folder.join(name)).find(|path| path.is_file())
    }
}

fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

fn two_up(path: &Path) -> Option<&Path> {
    path.parent()?.parent()
}

fn is_for_programs(folder: &Path) -> bool {
    ["bin", "sbin", "shims"].iter().any(|name| folder.ends_with(name))
}

// Where a person's other things are, too.
fn is_home(folder: &Path) -> bool {
    folder.parent().is_none_or(|parent| parent == Path::new("/") || parent == Path::new("/home"))
        || folder.ends_with(".local")
}

// `#!/path/to/interpreter argument`.
fn interpreter(file: &Path) -> Option<Vec<PathBuf>> {
    let mut start = Vec::new();
    fs::File::open(file).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let words: Vec<PathBuf> = words.map(|word| PathBuf::from(OsStr::from_bytes(word))).collect();
    words.first()?.is_absolute().then_some(words)
}

// Files `*.pth` name further folders, one a line.
fn elsewhere(environment: &Path) -> Vec<PathBuf> {
    let entries =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let packages = entries(environment.join("lib")).map(|python| python.join("site-packages"));
    let lists = packages.flat_map(entries).filter(|path| path.extension() == Some(OsStr::new("pth")));
    let lines = lists.filter_map(|list| fs::read_to_string(list).ok());
    let paths: Vec<PathBuf> =
        lines.flat_map(|text| text.lines().map(PathBuf::from).collect::<Vec<_>>()).collect();
    paths.into_iter().filter(|path| path.is_absolute() && path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn shown(find: impl FnOnce(&mut Finder<'_>)) -> Plan {
        let mut plan = Plan::default();
        find(&mut Finder::new(&mut plan));
        plan
    }

    fn file(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_virtual_environment_brings_its_python_along() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().canonicalize().unwrap().join(path);
        file(&at("pythons/3.12.1/bin/python3.12"), "");
        file(&at("pythons/3.12.1/lib/os.py"), "");
        symlink("python3.12", at("pythons/3.12.1/bin/python3")).unwrap();
        symlink("3.12.1", at("pythons/3.12")).unwrap();
        file(&at("project/.venv/pyvenv.cfg"), &format!("home = {}\n", at("pythons/3.12/bin").display()));
        file(&at("editable/x.py"), "");
        file(
            &at("project/.venv/lib/python3.12/site-packages/e.pth"),
            &format!("import nothing\n{}\n", at("editable").display()),
        );
        fs::create_dir_all(at("project/.venv/bin")).unwrap();
        symlink(at("pythons/3.12/bin/python3.12"), at("project/.venv/bin/python")).unwrap();
        let plan = shown(|finder| finder.program(&at("project/.venv/bin/python"), DEEPEST).unwrap());
        for path in ["project/.venv/lib", "pythons/3.12.1/lib/os.py", "editable/x.py"] {
            assert!(plan.shows(&at(path)), "{path}");
        }
        assert!(plan.entries.iter().any(|entry| entry.at == at("pythons/3.12")));
        for path in ["project", "project/secret", "pythons"] {
            assert!(!plan.shows(&at(path)), "{path}");
        }
    }

    #[test]
    fn a_program_among_other_things_comes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().canonicalize().unwrap().join("target/debug/agent");
        file(&program, "");
        let plan = shown(|finder| finder.program(&program, DEEPEST).unwrap());
        assert!(plan.shows(&program) && !plan.shows(program.parent().unwrap()));
    }

    #[test]
    fn a_script_brings_its_interpreter_along() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().canonicalize().unwrap().join(path);
        file(&at("node/bin/node"), "");
        file(&at("node/lib/x"), "");
        file(&at("agent.js"), "#! /usr/bin/env node\n");
        let mut plan = Plan::default();
        let mut finder = Finder { plan: &mut plan, search: at("node/bin").into() };
        finder.program(&at("agent.js"), DEEPEST).unwrap();
        assert!(plan.shows(&at("node/lib/x")));
    }
}
