//! What a program needs to run: interpreters, virtual environments, toolchains, and links to them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::plan::{Bind, Plan};
use super::reach::{Reached, reach};
use crate::wire::Order;

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

/// The kernel's own trees, and what of `/etc` is secret: no variable and no file has that shown.
const NEVER_NAMED: [&str; 10] = [
    "/proc",
    "/sys",
    "/dev",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssh",
];

/// Whose word it is that something is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// The host chose it.
    Host,
    /// A variable or a file names it; whoever wrote that may be confined.
    Named,
}

/// Shows what the order's program, arguments and environment need. What is named but not there, or must
/// not be shown, is no reason not to start: a program that is missing is for exec to say.
pub(super) fn add(plan: &mut Plan, order: &Order) {
    let confined_to = order.confined.then(|| reach(Path::new(&order.code)).ok()).flatten();
    let mut finder = Finder::new(plan, confined_to.map(|code| code.end));
    let variable = |name: &str| order.env.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    finder.search = variable("PATH").cloned().unwrap_or_default();
    let _ = finder.program(Path::new(&order.program), DEEPEST, Word::Host);
    if let Some(found) = finder.behind_env(&order.program, &order.args) {
        let _ = finder.program(&found, DEEPEST, Word::Named);
    }
    let files = FILE_VARIABLES.iter().filter_map(|name| variable(name)).map(PathBuf::from);
    let lists = LIST_VARIABLES.iter().filter_map(|name| variable(name)).flat_map(std::env::split_paths);
    let arguments = order.args.iter().map(PathBuf::from).filter(|path| path.is_file());
    for path in files.chain(lists).chain(arguments).filter(|path| path.is_absolute()) {
        let _ = finder.show(&path, Word::Named);
    }
}

/// Shows what the operator declared, which has to be there.
pub(super) fn add_declared(plan: &mut Plan, path: &Path) -> io::Result<()> {
    Finder::new(plan, None).show_declared(path)
}

/// Adds to a plan what it finds.
pub(super) struct Finder<'a> {
    plan: &'a mut Plan,
    search: OsString,
    /// The folder whose author may have nothing else shown: what the files in it name, and what the
    /// variables do, has to be in it, or seen by every agent.
    confined_to: Option<PathBuf>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(plan: &'a mut Plan, confined_to: Option<PathBuf>) -> Self {
        Self { plan, search: OsString::new(), confined_to }
    }

    /// Shows a file or a folder and the links on the way, whatever else is to be there.
    pub(super) fn show_declared(&mut self, path: &Path) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let reached = reach(path).map_err(named)?;
        if !self.plan.show(&reached.end, Bind::Lent) {
            let message = "it is in the host's state, of which no agent sees anything";
            return Err(named(io::Error::new(io::ErrorKind::PermissionDenied, message)));
        }
        self.follow(reached.links);
        Ok(())
    }

    /// Shows a file or a folder and the links on the way, if whoever says so may have it shown.
    fn show(&mut self, path: &Path, word: Word) -> io::Result<()> {
        let Reached { end, links } = reach(path)?;
        if self.may_show(&end, word)? && self.plan.show(&end, Bind::Lent) {
            self.follow(links);
        }
        Ok(())
    }

    fn follow(&mut self, links: Vec<(PathBuf, PathBuf)>) {
        for (at, to) in links {
            self.plan.link(&at, to);
        }
    }

    fn may_show(&self, end: &Path, word: Word) -> io::Result<bool> {
        let kind = fs::metadata(end)?.file_type();
        // Sockets and devices do things, and are not for reading.
        let is_readable = kind.is_file() || kind.is_dir();
        let is_forbidden = NEVER_NAMED.iter().any(|path| end.starts_with(path)) || self.plan.has_own_at(end);
        let is_allowed = word == Word::Host
            || self.confined_to.as_ref().is_none_or(|folder| end.starts_with(folder))
            || self.plan.shows(end);
        Ok(is_readable && !is_forbidden && is_allowed)
    }

    /// Whose word it is what a file or a folder at this place names, if it is itself there by `word`.
    fn word_of(&self, end: &Path, word: Word) -> Word {
        let is_confined = self.confined_to.as_ref().is_some_and(|folder| end.starts_with(folder));
        if is_confined { Word::Named } else { word }
    }

    /// Shows a program with what it is installed with, and its interpreter.
    fn program(&mut self, path: &Path, depth: usize, word: Word) -> io::Result<()> {
        if let Some(environment) = two_up(path).filter(|folder| folder.join("pyvenv.cfg").is_file()) {
            self.virtual_environment(environment, depth, word)?;
        }
        let Reached { end: file, links } = reach(path)?;
        if !self.may_show(&file, word)? {
            return Ok(());
        }
        self.follow(links);
        if !self.plan.shows(&file) {
            self.installation(&file);
        }
        let within = self.word_of(&file, word);
        match interpreter(&file) {
            Some(command) if depth > 0 => {
                self.program(&command[0], depth - 1, within)?;
                let args: Vec<OsString> = command[1..].iter().map(OsString::from).collect();
                match self.behind_env(command[0].as_os_str(), &args) {
                    Some(found) => self.program(&found, depth - 1, Word::Named),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Shows a virtual environment, the Python that it was made with, and what is installed into it
    /// from elsewhere (`pip install -e`).
    fn virtual_environment(&mut self, environment: &Path, depth: usize, word: Word) -> io::Result<()> {
        self.show(environment, word)?;
        let within = self.word_of(&reach(environment)?.end, word);
        let settings = fs::read_to_string(environment.join("pyvenv.cfg"))?;
        let home =
            settings.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == "home");
        if let Some((_, home)) = home
            && depth > 0
        {
            // Python finds its library from there, whichever of its names that is.
            let _ = self.program(&Path::new(home.trim()).join("python3"), depth - 1, within);
        }
        for folder in elsewhere(environment) {
            let _ = self.show(&folder, within);
        }
        Ok(())
    }

    /// Shows the folder that a program is installed in, if that is one: `<folder>/bin/<file>` with a
    /// `<folder>/lib` beside it. Else the file alone, for what is around it may be anything.
    fn installation(&mut self, file: &Path) {
        for path in self.installed(file) {
            self.plan.show(&path, Bind::Lent);
        }
    }

    fn installed(&self, file: &Path) -> Vec<PathBuf> {
        let alone = || vec![file.to_owned()];
        let Some(folder) = two_up(file).filter(|_| file.parent().is_some_and(is_for_programs)) else {
            return alone();
        };
        // It may be around what its author is confined to.
        if self.word_of(file, Word::Host) != self.word_of(folder, Word::Host) || self.plan.has_own_at(folder)
        {
            return alone();
        }
        if file.parent().is_some_and(|parent| parent.ends_with("shims")) {
            vec![folder.to_owned()]
        } else if !folder.join("lib").is_dir() {
            alone()
        } else if is_home(folder) {
            let parts = ["bin", "lib", "lib64"].map(|name| folder.join(name));
            parts.into_iter().filter(|part| part.is_dir()).collect()
        } else {
            vec![folder.to_owned()]
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
        find(&mut Finder::new(&mut plan, None));
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
        let plan =
            shown(|finder| finder.program(&at("project/.venv/bin/python"), DEEPEST, Word::Host).unwrap());
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
        let plan = shown(|finder| finder.program(&program, DEEPEST, Word::Host).unwrap());
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
        let mut finder = Finder { search: at("node/bin").into(), ..Finder::new(&mut plan, None) };
        finder.program(&at("agent.js"), DEEPEST, Word::Host).unwrap();
        assert!(plan.shows(&at("node/lib/x")));
    }

    /// A machine with a Python and a secret, and code whose author may have nothing but that shown.
    fn confined(code: impl FnOnce(&dyn Fn(&str) -> PathBuf)) -> (tempfile::TempDir, Plan) {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().canonicalize().unwrap().join(path);
        file(&at("python/bin/python3"), "");
        file(&at("python/lib/os.py"), "");
        file(&at("secret/lib/key"), "");
        file(&at("secret/bin/sh"), "");
        code(&at);
        let mut plan = Plan::default();
        let mut finder = Finder::new(&mut plan, Some(at("code")));
        finder.program(&at("code/.venv/bin/python"), DEEPEST, Word::Host).unwrap();
        let _ = finder.show(&at("secret/lib"), Word::Named);
        let _ = finder.show(&at("code/packages"), Word::Named);
        (folder, plan)
    }

    #[test]
    fn confined_code_has_nothing_else_shown_by_what_its_files_name() {
        let (folder, plan) = confined(|at| {
            file(&at("code/.venv/bin/python"), &format!("#!{}\n", at("secret/bin/sh").display()));
            file(&at("code/.venv/pyvenv.cfg"), &format!("home = {}\n", at("secret/bin").display()));
            let list = at("code/.venv/lib/python3/site-packages/s.pth");
            file(&list, &format!("{}\n", at("secret/lib").display()));
            fs::create_dir_all(at("code/packages")).unwrap();
            symlink(at("secret/lib"), at("code/packages/link")).unwrap();
        });
        let at = |path: &str| folder.path().canonicalize().unwrap().join(path);
        assert!(plan.shows(&at("code/.venv/bin/python")) && plan.shows(&at("code/packages")));
        for path in ["secret", "secret/lib", "secret/bin/sh"] {
            assert!(!plan.shows(&at(path)), "{path}");
        }
    }

    #[test]
    fn an_interpreter_that_the_operator_linked_into_confined_code_comes_along() {
        let (folder, plan) = confined(|at| {
            file(&at("env/pyvenv.cfg"), &format!("home = {}\n", at("python/bin").display()));
            fs::create_dir_all(at("env/bin")).unwrap();
            symlink(at("python/bin/python3"), at("env/bin/python")).unwrap();
            fs::create_dir_all(at("code/packages")).unwrap();
            symlink(at("env"), at("code/.venv")).unwrap();
        });
        let at = |path: &str| folder.path().canonicalize().unwrap().join(path);
        assert!(plan.shows(&at("env/pyvenv.cfg")) && plan.shows(&at("python/lib/os.py")));
        assert!(!plan.shows(&at("secret/lib")));
    }

    #[test]
    fn neither_sockets_nor_what_a_session_has_of_its_own_is_shown_for_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().canonicalize().unwrap().join("host.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let mut plan = Plan::default();
        super::super::system::add(&mut plan, None);
        let before = plan.clone();
        let mut finder = Finder::new(&mut plan, None);
        for path in ["/", "/etc", "/tmp", "/dev", "/proc", "/proc/self/environ", "/etc/shadow"] {
            let _ = finder.show(Path::new(path), Word::Named);
        }
        let _ = finder.show(&socket, Word::Named);
        assert_eq!(plan, before);
    }
}
